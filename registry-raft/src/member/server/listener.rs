//! The listening socket, and connections from it in bounded number.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use registry_api::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tonic::transport::server::Connected;

use crate::member::limits::GREETING_WITHIN;
use crate::member::metrics::Meters;
use crate::member::places::Places;
use crate::member::settings::{Exposure, check_exposure, configuration};

/// After a failed accept (out of file descriptors, mostly) this long until the next.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Binds the address `listen`, `host:port`.
///
/// # Errors
///
/// Configuration: one line that names the address, the reason, and what to do.
pub(crate) async fn bind(listen: &str, exposure: Exposure) -> Result<TcpListener, Error> {
    let addresses: Vec<_> = match tokio::net::lookup_host(listen).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Err(configuration(format!(
                "listen = {listen:?} is no address of this machine ({error}): write an address and a port, for example \
                 \"127.0.0.1:7001\""
            )));
        }
    };
    for address in &addresses {
        check_exposure(listen, *address, exposure)?;
    }
    TcpListener::bind(addresses.as_slice()).await.map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another process listens there; stop it, or choose another port (is this member running already?)"
            }
            io::ErrorKind::PermissionDenied => "ports below 1024 belong to the administrator; choose a higher one",
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address; listen on one that it has",
            _ => "choose another address or port",
        };
        configuration(format!("cannot listen on {listen:?}: {error}: {advice}"))
    })
}

/// The connections that come in, as long as there are not too many. Never ends with an error: whatever goes wrong with
/// one connection is nothing to the next.
pub(super) fn incoming(
    listener: TcpListener,
    places: Places,
    meters: Arc<Meters>,
) -> impl Stream<Item = io::Result<Accepted>> {
    futures::stream::unfold((listener, places, meters), |(listener, places, meters)| async move {
        let accepted = accept(&listener, &places, &meters).await;
        Some((Ok(accepted), (listener, places, meters)))
    })
}

async fn accept(listener: &TcpListener, places: &Places, meters: &Meters) -> Accepted {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        let Some(place) = places.of_connection() else {
            tracing::warn!("a connection was refused: there are as many as allowed");
            meters.connections_refused.increment(1);
            continue;
        };
        // Small answers must not wait for each other; a socket that cannot do it still works.
        let _delayed = stream.set_nodelay(true);
        return Accepted::new(stream, place);
    }
}

/// A connection, which holds its place among those allowed until it ends. One over which nothing comes ends soon.
pub(super) struct Accepted {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    /// Until the first byte: when it is too late for it.
    too_late: Option<Pin<Box<Sleep>>>,
}

impl Accepted {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> Self {
        Self { stream, _place: place, too_late: Some(Box::pin(tokio::time::sleep(GREETING_WITHIN))) }
    }
}

impl Connected for Accepted {
    type ConnectInfo = tonic::transport::server::TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.too_late = None;
        } else if let Some(too_late) = &mut self.too_late {
            ready!(too_late.as_mut().poll(context));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came over this connection")));
        }
        read
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::{Instant, timeout};

    use super::*;

    /// Both ends of a connection.
    async fn connection() -> (TcpStream, Accepted) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepted = accept(&listener, &Places::for_clients(1), &Meters::new(1)).await;
        (client, accepted)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_over_which_nothing_comes_ends() {
        let (_client, mut accepted) = connection().await;
        let start = Instant::now();
        let read = accepted.read_u8().await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), GREETING_WITHIN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_begun_may_be_silent() {
        let (mut client, mut accepted) = connection().await;
        client.write_u8(7).await.unwrap();
        assert_eq!(accepted.read_u8().await.unwrap(), 7);
        assert!(timeout(GREETING_WITHIN * 10, accepted.read_u8()).await.is_err(), "it was ended");
    }
}
