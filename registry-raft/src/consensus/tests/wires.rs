//! Connections that a test can cut: between two members, or all those of one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::consensus::Dialer;
use crate::consensus::dial::Wire;

/// Who may speak to whom.
#[derive(Clone, Default)]
pub(super) struct Switchboard {
    inner: Arc<Mutex<Board>>,
}

#[derive(Default)]
struct Board {
    isolated: BTreeSet<u64>,
    /// Pairs whose dials are refused although the other end lives: a firewall that answers with resets.
    refused: BTreeSet<(u64, u64)>,
    /// How often each pair was dialled.
    dials: BTreeMap<(u64, u64), usize>,
    /// Where each member listens.
    addresses: Vec<(u64, String)>,
    /// Open connections: from, to, and how each is cut.
    open: Vec<(u64, u64, CancellationToken)>,
}

impl Switchboard {
    pub(super) fn register(&self, id: u64, address: &str) {
        let mut board = self.inner.lock().unwrap();
        board.addresses.retain(|(known, _)| *known != id);
        board.addresses.push((id, address.to_owned()));
    }

    /// Cuts every connection of a member and lets no new one come up; dials are not refused, they hang.
    pub(super) fn isolate(&self, id: u64) {
        let mut board = self.inner.lock().unwrap();
        board.isolated.insert(id);
        board.open.iter().filter(|(from, to, _)| *from == id || *to == id).for_each(|(_, _, cut)| cut.cancel());
    }

    pub(super) fn rejoin(&self, id: u64) {
        self.inner.lock().unwrap().isolated.remove(&id);
    }

    /// Ends the connections that one member opened to another, and refuses new ones: as if nobody listened there.
    pub(super) fn refuse(&self, from: u64, to: u64) {
        let mut board = self.inner.lock().unwrap();
        board.refused.insert((from, to));
        board.open.iter().filter(|pair| (pair.0, pair.1) == (from, to)).for_each(|(_, _, cut)| cut.cancel());
    }

    /// How often one member dialled another.
    pub(super) fn dials(&self, from: u64, to: u64) -> usize {
        self.inner.lock().unwrap().dials.get(&(from, to)).copied().unwrap_or_default()
    }

    fn open(&self, from: u64, address: &str) -> Admission {
        let mut board = self.inner.lock().unwrap();
        let to = board.addresses.iter().find(|(_, known)| known == address).map_or(0, |(id, _)| *id);
        *board.dials.entry((from, to)).or_default() += 1;
        if board.isolated.contains(&from) || board.isolated.contains(&to) {
            return Admission::Hangs;
        }
        if board.refused.contains(&(from, to)) {
            return Admission::Refused;
        }
        let cut = CancellationToken::new();
        board.open.push((from, to, cut.clone()));
        Admission::Open(cut)
    }

    pub(super) fn dialer(&self, from: u64, process: CancellationToken) -> Arc<dyn Dialer> {
        Arc::new(BoardDialer { from, board: self.clone(), process })
    }
}

enum Admission {
    Open(CancellationToken),
    Hangs,
    Refused,
}

struct BoardDialer {
    from: u64,
    board: Switchboard,
    process: CancellationToken,
}

#[async_trait]
impl Dialer for BoardDialer {
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Wire>> {
        let cut = match self.board.open(self.from, address) {
            Admission::Open(cut) => cut,
            Admission::Hangs => return std::future::pending().await,
            Admission::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
        };
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(CutWire::new(CutWire::new(stream, cut), self.process.clone())))
    }
}

/// A connection that ends as if the process at one end were killed.
pub(super) struct CutWire<S> {
    stream: Option<S>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> CutWire<S> {
    pub(super) fn new(stream: S, cut: CancellationToken) -> Self {
        Self { stream: Some(stream), cut: Box::pin(cut.cancelled_owned()) }
    }
}

impl<S: Unpin> CutWire<S> {
    fn poll_stream(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut S>> {
        use std::future::Future;
        if self.stream.is_some() && self.cut.as_mut().poll(context).is_ready() {
            self.stream = None;
        }
        self.stream.as_mut().map(Pin::new).ok_or(io::Error::from(io::ErrorKind::ConnectionReset))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CutWire<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_stream(context)?.poll_read(context, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CutWire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_stream(context)?.poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_stream(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_stream(context)?.poll_shutdown(context))?;
        Poll::Ready(Ok(()))
    }
}

impl Connected for CutWire<TcpStream> {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}
