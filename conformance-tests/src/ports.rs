//! Ports for servers and relays of tests.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;

use crate::{Broken, Outcome};

/// Below those that systems give to outgoing connections, one of which could otherwise take the port of a server that is
/// down for a moment.
const PORTS: Range<u16> = 15_000..30_000;

/// A port that nobody listens on at the moment, and that was not given before all others were.
///
/// # Errors
///
/// Every port is taken.
pub fn free_port() -> Outcome<u16> {
    static NEXT: LazyLock<AtomicUsize> = LazyLock::new(|| AtomicUsize::new(rand::random_range(0..PORTS.len())));
    for _ in PORTS {
        let place = NEXT.fetch_add(1, Ordering::Relaxed) % PORTS.len();
        if let Some(port) = PORTS.clone().nth(place).filter(|port| probe(*port).is_ok()) {
            return Ok(port);
        }
    }
    Err(Broken::harness(format!("every port of {PORTS:?} is taken")))
}

/// A socket that is bound to the port, unless somebody listens there. It does not listen itself: a process that is started
/// at this moment has a copy of it until it executes its program, and others must be able to listen there already.
fn probe(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_probe_that_is_still_there_keeps_nobody_from_listening() {
        let port = free_port().unwrap();
        let _copy_in_a_starting_process = probe(port).unwrap();

        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[test]
    fn a_port_on_which_somebody_listens_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port().unwrap())).unwrap();

        let taken = probe(listener.local_addr().unwrap().port());

        assert_eq!(taken.map(drop).map_err(|error| error.kind()), Err(io::ErrorKind::AddrInUse));
    }
}
