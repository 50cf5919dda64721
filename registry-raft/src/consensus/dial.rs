//! Connections to peers: an address is looked up, and its name resolved, on every dial.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use super::identity::{Identity, PeerStamp};
use crate::proto::peer_client::PeerClient;
use crate::timing::Timing;

/// The largest message that is taken from a peer.
///
/// An append holds at most 4 MiB of entries, or a single larger one; a batch is bounded far below this by the member.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A connection to a peer, before HTTP/2.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Wire for T {}

/// Opens connections.
#[async_trait]
pub(crate) trait Dialer: Send + Sync + 'static {
    /// Connects to `address` (`host:port`), resolving the name anew.
    ///
    /// # To be correct
    ///
    /// `ConnectionRefused` means that the host answered and nobody listens there, and nothing else: it is taken as proof
    /// that the process is gone.
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Wire>>;
}

/// Plain TCP.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TcpDialer;

#[async_trait]
impl Dialer for TcpDialer {
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Wire>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

/// Where the members are dialled. Cheap to clone; all clones are the same book.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressBook {
    addresses: Arc<RwLock<BTreeMap<u64, String>>>,
}

impl AddressBook {
    /// The configured addresses: these are never replaced by what the group has recorded, because a member may have come
    /// back elsewhere.
    pub(crate) fn new(configured: BTreeMap<u64, String>) -> Self {
        Self { addresses: Arc::new(RwLock::new(configured)) }
    }

    /// Notes where a member is that is not configured here.
    pub(crate) fn learn(&self, id: u64, address: &str) {
        if address.is_empty() {
            return;
        }
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        addresses.entry(id).or_insert_with(|| address.to_owned());
    }

    pub(crate) fn address(&self, id: u64) -> Option<String> {
        self.addresses.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

/// What a connection is for; each has its own, so that a snapshot or a full window never holds up a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Appends, votes and transfers.
    Replication,
    /// The leader's heartbeats.
    Heartbeat,
    /// Snapshots.
    Snapshot,
}

/// A client of a peer that says who calls.
pub(crate) type Peer = PeerClient<tonic::service::interceptor::InterceptedService<Channel, PeerStamp>>;

/// Makes and keeps the connections of one member.
#[derive(Clone)]
pub(crate) struct Connector {
    identity: Identity,
    book: AddressBook,
    dialer: Arc<dyn Dialer>,
    timing: Timing,
    channels: Arc<Mutex<BTreeMap<(u64, Purpose), Channel>>>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connector").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Connector {
    pub(crate) fn new(identity: Identity, book: AddressBook, dialer: Arc<dyn Dialer>, timing: Timing) -> Self {
        Self { identity, book, dialer, timing, channels: Arc::default() }
    }

    pub(crate) fn book(&self) -> &AddressBook {
        &self.book
    }

    /// The client of a peer for a purpose; dials when it is used, and again after the connection was lost.
    pub(crate) fn peer(&self, id: u64, purpose: Purpose) -> Peer {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = channels.entry((id, purpose)).or_insert_with(|| self.lazy_channel(id)).clone();
        self.client(id, channel)
    }

    /// Opens a connection to a peer that nothing else uses.
    ///
    /// # Errors
    ///
    /// Those of the dial itself keep their kind, so that a refused connection can be told from silence.
    pub(crate) async fn connect(&self, id: u64) -> io::Result<Peer> {
        let wire = dial(&self.book, &*self.dialer, id, self.timing.connect_timeout).await?;
        let wire = Arc::new(Mutex::new(Some(wire)));
        let once = tower::service_fn(move |_| {
            let wire = wire.lock().unwrap_or_else(PoisonError::into_inner).take();
            std::future::ready(wire.map(TokioIo::new).ok_or(io::Error::from(io::ErrorKind::NotConnected)))
        });
        let channel = self.endpoint().connect_with_connector(once).await.map_err(io::Error::other)?;
        Ok(self.client(id, channel))
    }

    fn client(&self, id: u64, channel: Channel) -> Peer {
        PeerClient::with_interceptor(channel, PeerStamp::new(self.identity, id))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn lazy_channel(&self, id: u64) -> Channel {
        let (book, dialer, limit) = (self.book.clone(), self.dialer.clone(), self.timing.connect_timeout);
        let connect = tower::service_fn(move |_| {
            let (book, dialer) = (book.clone(), dialer.clone());
            async move { dial(&book, &*dialer, id, limit).await.map(TokioIo::new) }
        });
        self.endpoint().connect_with_connector_lazy(connect)
    }

    fn endpoint(&self) -> Endpoint {
        // Only the path and the metadata matter to the receiver: the address is looked up at each dial.
        Endpoint::from_static("http://peer.registry")
            .connect_timeout(self.timing.connect_timeout)
            .http2_keep_alive_interval(self.timing.keepalive)
            .keep_alive_timeout(self.timing.keepalive)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(16 << 20)
    }
}

async fn dial(book: &AddressBook, dialer: &dyn Dialer, id: u64, limit: Duration) -> io::Result<Box<dyn Wire>> {
    let address = book.address(id).ok_or_else(|| {
        io::Error::new(io::ErrorKind::AddrNotAvailable, format!("no address of member {id} is known"))
    })?;
    tokio::time::timeout(limit, dialer.dial(&address))
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, format!("dialling {address} took too long"))))
}
