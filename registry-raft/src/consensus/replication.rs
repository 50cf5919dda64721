//! One session of replication to a peer: many appends under way on one stream, each answered within a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use openraft::OptionalSend;
use openraft::base::BoxStream;
use openraft::errors::RPCError;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tonic::Streaming;

use super::codec;
use super::dial::Peer;
use super::network::{rpc_error, unreachable};
use super::types::Raft;
use crate::proto;

type Answer = Result<StreamAppendResult<Raft>, RPCError<Raft>>;

/// Sends the requests as they come and gives the answers in their order.
///
/// The first request is taken before the peer is dialled: openraft pauses after failures only when its requests are
/// taken, so that dialling first would turn a dead peer into a busy loop.
pub(crate) async fn append_sequence<S>(
    mut peer: Peer,
    mut input: S,
    answer_timeout: Duration,
) -> Result<BoxStream<'static, Answer>, RPCError<Raft>>
where
    S: Stream<Item = AppendEntriesRequest<Raft>> + OptionalSend + Unpin + 'static,
{
    let Some(first) = input.next().await else {
        return Ok(stream::empty().boxed());
    };
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let requests = stream::iter([first]).chain(input).map(move |request| {
        counter.fetch_add(1, Ordering::Relaxed);
        codec::append_request(&request)
    });
    let answers = match tokio::time::timeout(answer_timeout, peer.append(requests)).await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return Err(rpc_error(&status)),
        Err(_) => return Err(unreachable(format!("no answer to an append within {answer_timeout:?}"))),
    };
    let session = Session { answers, sent, received: 0, answer_timeout };
    Ok(stream::unfold(Some(session), next_answer).boxed())
}

struct Session {
    answers: Streaming<proto::AppendResponse>,
    sent: Arc<AtomicU64>,
    received: u64,
    answer_timeout: Duration,
}

impl Session {
    /// The next answer; an error when a request has been waiting for longer than the limit (at most twice as long).
    /// A stream without requests under way may be silent for ever: the connection's keep-alive watches over it.
    async fn answer(&mut self) -> Option<Answer> {
        loop {
            let overdue = self.sent.load(Ordering::Relaxed) > self.received;
            match tokio::time::timeout(self.answer_timeout, self.answers.message()).await {
                Ok(Ok(Some(answer))) => {
                    self.received = self.received.saturating_add(1);
                    return Some(codec::append_response_of(answer).map_err(unreachable));
                }
                Ok(Ok(None)) => return None,
                Ok(Err(status)) => return Some(Err(rpc_error(&status))),
                Err(_) if overdue => {
                    return Some(Err(unreachable(format!("no answer to an append within {:?}", self.answer_timeout))));
                }
                Err(_) => {}
            }
        }
    }
}

async fn next_answer(session: Option<Session>) -> Option<(Answer, Option<Session>)> {
    let mut session = session?;
    let answer = session.answer().await?;
    let goes_on = matches!(&answer, Ok(Ok(_)));
    Some((answer, goes_on.then_some(session)))
}

/// Pauses that double from `first` to `last`, each shortened by up to a quarter at random, so that members that lost
/// the same peer do not dial it in step.
pub(crate) fn backoff(first: Duration, last: Duration) -> impl Iterator<Item = Duration> + Send + 'static {
    std::iter::successors(Some(first), move |pause| Some(pause.saturating_mul(2).min(last)))
        .map(|pause| pause.mul_f64(rand::random_range(0.75..=1.0)))
}
