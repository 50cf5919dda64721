//! The relay in front of one member, through which all its clients come: it can slow, hold back, reset and refuse them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{Outcome, free_port};

/// What becomes of the bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// They pass.
    Passes,
    /// They are held back, as by a network that loses every packet: nothing ends, nothing arrives.
    Held,
}

/// The state of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) to_server: Flow,
    pub(super) to_client: Flow,
    /// How much later everything arrives, in each direction.
    pub(super) delay: Duration,
}

impl Passage {
    pub(super) const OPEN: Self = Self { to_server: Flow::Passes, to_client: Flow::Passes, delay: Duration::ZERO };

    /// Nothing passes.
    pub(super) const HELD: Self = Self { to_server: Flow::Held, to_client: Flow::Held, ..Self::OPEN };
    /// Requests arrive, answers do not.
    pub(super) const ANSWERS_HELD: Self = Self { to_client: Flow::Held, ..Self::OPEN };
    /// Everything passes, late.
    pub(super) const SLOW: Self = Self { delay: Duration::from_millis(100), ..Self::OPEN };

    fn is_held(self) -> bool {
        [self.to_server, self.to_client].contains(&Flow::Held)
    }
}

/// Which of the two flows a pump serves.
type Direction = fn(&Passage) -> Flow;

/// A relay to one address. Its own address stays the same until it is moved.
#[derive(Debug)]
pub(super) struct Gate {
    address: watch::Sender<SocketAddr>,
    target: String,
    passage: Arc<watch::Sender<Passage>>,
    /// Counts the resets: connections end when it changes.
    resets: Arc<watch::Sender<u64>>,
    /// Ends the relay when dropped; empty while the gate is shut.
    relay: Mutex<JoinSet<()>>,
}

impl Gate {
    /// An open gate to `target`, `host:port`.
    pub(super) async fn to(target: String) -> Outcome<Self> {
        let gate = Self {
            address: watch::Sender::new(SocketAddr::from(([127, 0, 0, 1], free_port()?))),
            target,
            passage: Arc::new(watch::Sender::new(Passage::OPEN)),
            resets: Arc::new(watch::Sender::new(0)),
            relay: Mutex::default(),
        };
        gate.open().await?;
        Ok(gate)
    }

    /// What clients dial.
    pub(super) fn address(&self) -> String {
        self.address.borrow().to_string()
    }

    /// Connections are accepted and pass.
    pub(super) async fn open(&self) -> Outcome {
        self.passage.send_replace(Passage::OPEN);
        let mut relay = self.relay.lock().await;
        if relay.is_empty() {
            let address = *self.address.borrow();
            let listener = TcpListener::bind(address).await?;
            relay.spawn(accept(listener, self.target.clone(), Arc::clone(&self.passage), Arc::clone(&self.resets)));
        }
        Ok(())
    }

    /// Connections end, and new ones are refused: the address of a process that is gone.
    pub(super) async fn shut(&self) {
        self.reset();
        self.relay.lock().await.shutdown().await;
    }

    /// Shuts it, and opens it at another address of loopback with the same port.
    pub(super) async fn move_to(&self, host: Ipv4Addr) -> Outcome {
        self.shut().await;
        self.address.send_modify(|address| address.set_ip(host.into()));
        self.open().await
    }

    /// Every connection ends with a reset; new ones pass.
    pub(super) fn reset(&self) {
        self.resets.send_modify(|count| *count += 1);
    }

    /// Changes what becomes of bytes from here on, also those of connections that are there.
    pub(super) fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }
}

async fn accept(
    listener: TcpListener,
    target: String,
    passage: Arc<watch::Sender<Passage>>,
    resets: Arc<watch::Sender<u64>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(relay(stream, target.clone(), passage.subscribe(), resets.subscribe()));
        while connections.try_join_next().is_some() {}
    }
}

async fn relay(
    mut near: TcpStream,
    target: String,
    mut passage: watch::Receiver<Passage>,
    mut reset: watch::Receiver<u64>,
) {
    let dialled = async {
        passage.wait_for(|passage| !passage.is_held()).await.ok()?;
        TcpStream::connect(target).await.ok()
    };
    let far = tokio::select! {
        far = dialled => far,
        _changed = reset.changed() => None,
    };
    let Some(mut far) = far else {
        // Errors mean that the connection is gone already, which is what is wanted; so below.
        let _ = near.set_zero_linger();
        return;
    };
    // Small messages wait for nobody.
    let _ = near.set_nodelay(true);
    let _ = far.set_nodelay(true);
    let aborted = {
        let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
        // When one direction ends, so does the other: a member that died is noticed.
        tokio::select! {
            () = pump(near_read, far_write, |passage| passage.to_server, passage.clone()) => false,
            () = pump(far_read, near_write, |passage| passage.to_client, passage.clone()) => false,
            _changed = reset.changed() => true,
        }
    };
    if aborted {
        let _ = near.set_zero_linger();
        let _ = far.set_zero_linger();
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    mut passage: watch::Receiver<Passage>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let delay = passage.borrow().delay;
        if !delay.is_zero() {
            // The delay is the fault that was asked for.
            tokio::time::sleep_until(Instant::now() + delay).await;
        }
        if passage.wait_for(|passage| direction(passage) == Flow::Passes).await.is_err() {
            return;
        }
        let Some(bytes) = buffer.get(..count) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
