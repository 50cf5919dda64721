//! The wires between members: each member reaches each other one through a wire that can be cut.

use std::sync::Arc;

use conformance_tests::{Outcome, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A relay in front of one member, for one other. While it is cut it holds everything back, as a network would that
/// loses every packet: connections neither end nor make progress. While it is unplugged its address refuses connections,
/// as that of a process does that is gone.
pub(crate) struct Wire {
    address: String,
    target: String,
    cut: Arc<watch::Sender<bool>>,
    /// Ends the relay when dropped.
    relay: JoinSet<()>,
}

impl Wire {
    /// A wire to `target`.
    pub(crate) async fn to(target: String) -> Outcome<Self> {
        let listener = TcpListener::bind(("127.0.0.1", free_port()?)).await?;
        let address = listener.local_addr()?.to_string();
        let cut = Arc::new(watch::Sender::new(false));
        let mut relay = JoinSet::new();
        relay.spawn(accept(listener, target.clone(), Arc::clone(&cut)));
        Ok(Self { address, target, cut, relay })
    }

    /// The member is gone: connections end, and new ones are refused.
    pub(crate) async fn unplug(&mut self) {
        self.relay.shutdown().await;
    }

    /// The member is back.
    pub(crate) async fn plug(&mut self) -> Outcome {
        if self.relay.is_empty() {
            let listener = TcpListener::bind(&self.address).await?;
            self.relay.spawn(accept(listener, self.target.clone(), Arc::clone(&self.cut)));
        }
        Ok(())
    }

    /// What to dial instead of the target.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    pub(crate) fn mend(&self) {
        self.cut.send_replace(false);
    }
}

async fn accept(listener: TcpListener, target: String, cut: Arc<watch::Sender<bool>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(relay(stream, target.clone(), cut.subscribe()));
        while connections.try_join_next().is_some() {}
    }
}

async fn relay(near: TcpStream, target: String, mut cut: watch::Receiver<bool>) {
    if cut.wait_for(|cut| !cut).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    // Small messages wait for nobody.
    if near.set_nodelay(true).is_err() || far.set_nodelay(true).is_err() {
        return;
    }
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    // When one direction ends, so does the other: a member that died is noticed.
    tokio::select! {
        () = pump(near_read, far_write, cut.clone()) => {}
        () = pump(far_read, near_write, cut) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if cut.wait_for(|cut| !cut).await.is_err() {
            return;
        }
        let Some(bytes) = buffer.get(..count) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
