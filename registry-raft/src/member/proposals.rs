//! The batcher: many proposals ride in one log entry, several entries are on their way at a time.
//!
//! An idle member proposes at once; a busy one lets proposals gather while entries are on their way, so the entries grow
//! with the load. Each proposal is answered with its own outcome, and a failure says exactly whether it may have been
//! applied.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::boundary::Failed;
use crate::member::limits::{BATCH_BYTES_MAX, BATCH_LEN_MAX, BATCHES_IN_FLIGHT_MAX, PROPOSAL_QUEUE_LEN};
use crate::member::metrics::Meters;
use crate::member::quorum::{ProposeError, Quorum, unknown};
use crate::proto;

/// The entrance to the batcher.
#[derive(Clone, Debug)]
pub(crate) struct Proposals {
    queue: mpsc::Sender<Pending>,
}

/// The batcher itself: one task, which ends when every [`Proposals`] is gone.
pub(crate) struct Batcher {
    queue: mpsc::Receiver<Pending>,
    quorum: Arc<dyn Quorum>,
    meters: Arc<Meters>,
    /// Was taken from the queue, but did not fit into the entry any more.
    left_over: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    proposal: proto::Proposal,
    claim: Arc<Claim>,
    reply: oneshot::Sender<Result<proto::Outcome, Failed>>,
}

/// Decides between the batcher that takes a proposal and the caller that gives up waiting: who comes first wins, so
/// that a proposal which was given up in the queue is surely not applied.
#[derive(Debug, Default)]
struct Claim(AtomicBool);

impl Claim {
    fn win(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// One proposal that is on its way.
type Reply = oneshot::Sender<Result<proto::Outcome, Failed>>;

impl Proposals {
    /// A batcher that proposes to `quorum`, and its entrance.
    pub(crate) fn new(quorum: Arc<dyn Quorum>, meters: Arc<Meters>) -> (Self, Batcher) {
        let (sender, receiver) = mpsc::channel(PROPOSAL_QUEUE_LEN);
        (Self { queue: sender }, Batcher { queue: receiver, quorum, meters, left_over: None })
    }

    /// Proposes, and waits until `deadline` for the outcome.
    ///
    /// # Errors
    ///
    /// The refusal says whether the proposal may have been applied; a command that the state machine refused is an
    /// outcome.
    ///
    /// # Cancellation
    ///
    /// A proposal that the batcher has not taken yet is dropped with the future; any other goes its way.
    pub(crate) async fn submit(&self, proposal: proto::Proposal, deadline: Instant) -> Result<proto::Outcome, Failed> {
        let (reply, answer) = oneshot::channel();
        let claim = Arc::new(Claim::default());
        let pending = Pending { proposal, claim: Arc::clone(&claim), reply };
        match timeout_at(deadline, self.queue.send(pending)).await {
            Ok(Ok(())) => {}
            Ok(Err(_stopped)) => return Err(stopping()),
            Err(_elapsed) => return Err(Failed::refused(proto::Failure::DeadlineExceeded, "the queue is full")),
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_dropped)) if claim.win() => Err(stopping()),
            Ok(Err(_dropped)) => Err(unknown(proto::Failure::Unavailable, "the member stopped")),
            Err(_elapsed) if claim.win() => {
                Err(Failed::refused(proto::Failure::DeadlineExceeded, "not proposed before the deadline"))
            }
            Err(_elapsed) => Err(unknown(proto::Failure::DeadlineExceeded, "not committed before the deadline")),
        }
    }
}

impl Batcher {
    /// Batches until every entrance is gone, and what is on its way is answered.
    pub(crate) async fn run(mut self) {
        let mut flights: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        loop {
            let has_room = flights.len() < BATCHES_IN_FLIGHT_MAX;
            let first = tokio::select! {
                biased;
                Some(()) = flights.next(), if !flights.is_empty() => continue,
                first = next(&mut self.left_over, &mut self.queue), if has_room => first,
            };
            let Some(first) = first else { break };
            // Callers that were answered together ask again together: let them join this entry.
            tokio::task::yield_now().await;
            let (batch, replies) = self.gather(first);
            if replies.is_empty() {
                continue;
            }
            let mut flight: BoxFuture<'static, ()> =
                Box::pin(fly(Arc::clone(&self.quorum), Arc::clone(&self.meters), batch.freeze(), replies));
            // Polled once in the order of the batches: the order of calls is the order in the log.
            if futures::poll!(flight.as_mut()).is_pending() {
                flights.push(flight);
            }
        }
        while flights.next().await.is_some() {}
    }

    /// One log entry of what waits now, `first` in front.
    fn gather(&mut self, first: Pending) -> (BytesMut, Vec<Reply>) {
        let mut batch = BytesMut::with_capacity(first.proposal.encoded_len() + 16);
        let mut replies = Vec::new();
        let mut next = Some(first);
        while let Some(pending) = next.take() {
            let fits = replies.is_empty() || batch.len() + pending.proposal.encoded_len() <= BATCH_BYTES_MAX;
            if !fits {
                self.left_over = Some(pending);
                break;
            }
            if !pending.reply.is_closed() && pending.claim.win() {
                prost::encoding::message::encode(1, &pending.proposal, &mut batch);
                replies.push(pending.reply);
            }
            if replies.len() < BATCH_LEN_MAX {
                next = self.queue.try_recv().ok();
            }
        }
        (batch, replies)
    }
}

async fn next(left_over: &mut Option<Pending>, queue: &mut mpsc::Receiver<Pending>) -> Option<Pending> {
    match left_over.take() {
        Some(pending) => Some(pending),
        None => queue.recv().await,
    }
}

/// Proposes one entry, and answers each of its proposals.
async fn fly(quorum: Arc<dyn Quorum>, meters: Arc<Meters>, batch: bytes::Bytes, replies: Vec<Reply>) {
    let started = Instant::now();
    meters.proposals.increment(replies.len() as u64);
    meters.batch_len.record(f64::from(u32::try_from(replies.len()).unwrap_or(u32::MAX)));
    let mut result = quorum.propose(batch).await;
    meters.batch_seconds.record(started.elapsed());
    if let Ok(outcomes) = &result
        && outcomes.len() != replies.len()
    {
        tracing::error!(proposals = replies.len(), outcomes = outcomes.len(), "outcomes do not match their proposals");
        result = Err(ProposeError::Unknown("the outcomes do not match the proposals".to_owned()));
    }
    // A caller that gave up has no ear any more: that is its business.
    match result {
        Ok(outcomes) => {
            for (reply, outcome) in replies.into_iter().zip(outcomes) {
                let _ = reply.send(Ok(outcome));
            }
        }
        Err(error) => {
            meters.proposals_refused.increment(replies.len() as u64);
            let failed = Failed::from(error);
            for reply in replies {
                let _ = reply.send(Err(failed.clone()));
            }
        }
    }
}

fn stopping() -> Failed {
    Failed::refused(proto::Failure::Unavailable, "the member stops")
}

impl std::fmt::Debug for Batcher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Batcher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
