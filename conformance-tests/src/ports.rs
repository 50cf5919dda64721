//! Ports for servers and relays of tests.

use std::net::TcpListener;
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::{Broken, Outcome};

/// Below those that systems give to outgoing connections, one of which could otherwise take the port of a server that is
/// down for a moment.
const PORTS: Range<u16> = 15_000..30_000;

/// A port that nobody listens on at the moment, and that was not given for a long time.
///
/// # Errors
///
/// Every port is taken.
pub fn free_port() -> Outcome<u16> {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random()));
    for _ in PORTS {
        let port = PORTS.start + NEXT.fetch_add(1, Ordering::Relaxed) % (PORTS.end - PORTS.start);
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Broken::harness(format!("every port of {PORTS:?} is taken")))
}
