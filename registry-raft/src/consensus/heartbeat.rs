//! The leader's heartbeats to one peer, and its questions whether it still leads: one at a time, all on one stream.
//!
//! openraft opens a stream for each heartbeat and ends it after the answer. A call of its own costs ten times as much as
//! a message on a stream that is open, and every linearizable read waits for one.

use futures::{Stream, StreamExt, stream};
use openraft::errors::RPCError;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::codec;
use super::dial::Peer;
use super::network::{rpc_error, unreachable};
use super::types::Raft;
use crate::proto;

type Answer = Result<StreamAppendResult<Raft>, RPCError<Raft>>;

/// The way of heartbeats to one peer.
pub(crate) struct Heartbeats {
    peer: Peer,
    /// Open, with every heartbeat on it answered.
    open: Option<Exchange>,
}

/// A stream of heartbeats and of their answers.
struct Exchange {
    heartbeats: mpsc::Sender<proto::AppendRequest>,
    answers: Streaming<proto::AppendResponse>,
}

impl Heartbeats {
    pub(crate) fn new(peer: Peer) -> Self {
        Self { peer, open: None }
    }

    /// Sends a heartbeat and waits for its answer; without a limit of time, the caller adds one.
    ///
    /// A stream that was open may have broken since: then the heartbeat, which changes nothing when it comes twice, is
    /// sent again on a new one.
    ///
    /// # Errors
    ///
    /// The peer cannot be reached, or refuses.
    ///
    /// # Cancellation
    ///
    /// Safe: a stream with an answer outstanding is dropped, so that no later heartbeat takes that for its own.
    pub(crate) async fn send(&mut self, heartbeat: proto::AppendRequest) -> Answer {
        if let Some(exchange) = self.open.take()
            && exchange.heartbeats.try_send(heartbeat.clone()).is_ok()
            && let Ok(answer) = self.answer(exchange).await
        {
            return Ok(answer);
        }
        let exchange = self.begin(heartbeat).await?;
        self.answer(exchange).await
    }

    /// Opens a stream that begins with a heartbeat: that and its answer take one round trip, as on a stream that is open.
    async fn begin(&mut self, heartbeat: proto::AppendRequest) -> Result<Exchange, RPCError<Raft>> {
        let (heartbeats, receiver) = mpsc::channel(1);
        // The queue is new and empty, so there is room.
        let _room = heartbeats.try_send(heartbeat);
        let answers = self.peer.append(ReceiverStream::new(receiver)).await.map_err(|status| rpc_error(&status))?;
        Ok(Exchange { heartbeats, answers: answers.into_inner() })
    }

    /// Waits for the answer. Keeps the stream where it goes on: after anything else than a match, the peer ends it.
    async fn answer(&mut self, mut exchange: Exchange) -> Answer {
        let answer = exchange.answers.message().await.map_err(|status| rpc_error(&status))?.ok_or_else(ended)?;
        let answer = codec::append_response_of(answer).map_err(unreachable)?;
        self.open = answer.is_ok().then_some(exchange);
        Ok(answer)
    }
}

/// Sends the heartbeats as they come, each when the one before it was answered; ends after one that failed.
pub(crate) fn each<'h>(
    heartbeats: &'h mut Heartbeats,
    input: impl Stream<Item = AppendEntriesRequest<Raft>> + Send + Unpin + 'h,
) -> impl Stream<Item = Answer> + Send + 'h {
    stream::unfold(Some((heartbeats, input)), async |state| {
        let (heartbeats, mut input) = state?;
        let heartbeat = codec::append_request(&input.next().await?);
        let answer = heartbeats.send(heartbeat).await;
        let goes_on = matches!(answer, Ok(Ok(_)));
        Some((answer, goes_on.then_some((heartbeats, input))))
    })
}

fn ended() -> RPCError<Raft> {
    unreachable("the peer ended the stream of heartbeats")
}
