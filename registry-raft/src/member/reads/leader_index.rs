//! Asks the leader for its read index: once for all reads that wait at the moment.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::boundary::Failed;
use crate::member::quorum::LeaderHint;
use crate::proto;

/// Questions that wait to be asked.
const QUEUE_LEN: usize = 4096;
/// Questions answered by one.
const ROUND_LEN_MAX: usize = 4096;
/// Rounds under way: the next one need not wait for the one before, it only must not begin before its reads arrived.
const ROUNDS_MAX: usize = 4;
/// A leader that does not answer within this is not worth waiting for: the read looks for another one.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How a leader is asked: in this member, over a connection, or by a test.
#[async_trait]
pub(crate) trait AskLeader: Send + Sync + 'static {
    /// The log position that a linearizable read must have applied.
    async fn read_index(&self, leader: &LeaderHint, deadline: Instant) -> Result<u64, Failed>;
}

/// Joins questions for the leader.
#[derive(Clone, Debug)]
pub(crate) struct LeaderIndex {
    queue: mpsc::Sender<Question>,
}

#[derive(Debug)]
struct Question {
    leader: LeaderHint,
    reply: oneshot::Sender<Result<u64, Failed>>,
}

/// The task behind [`LeaderIndex`]; ends when every clone of that is gone.
pub(crate) struct IndexAsker {
    queue: mpsc::Receiver<Question>,
    leader: Arc<dyn AskLeader>,
}

impl LeaderIndex {
    pub(crate) fn new(leader: Arc<dyn AskLeader>) -> (Self, IndexAsker) {
        let (sender, receiver) = mpsc::channel(QUEUE_LEN);
        (Self { queue: sender }, IndexAsker { queue: receiver, leader })
    }

    /// Asks this leader. The caller adds the deadline.
    pub(crate) async fn ask(&self, leader: LeaderHint) -> Result<u64, Failed> {
        let (reply, answer) = oneshot::channel();
        let stopped = || Failed::refused(proto::Failure::Unavailable, "the member stops");
        self.queue.send(Question { leader, reply }).await.map_err(|_closed| stopped())?;
        answer.await.unwrap_or_else(|_dropped| Err(stopped()))
    }
}

impl IndexAsker {
    /// Asks until there is nobody to ask for.
    pub(crate) async fn run(mut self) {
        let mut rounds: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                biased;
                Some(()) = rounds.next(), if !rounds.is_empty() => continue,
                taken = self.queue.recv_many(&mut waiting, ROUND_LEN_MAX), if rounds.len() < ROUNDS_MAX => {
                    if taken == 0 {
                        return;
                    }
                }
            }
            rounds.push(Box::pin(round(Arc::clone(&self.leader), std::mem::take(&mut waiting))));
        }
    }
}

/// One question, for everybody who waited when it was asked. Who leads is taken from the newest of them.
async fn round(ask: Arc<dyn AskLeader>, waiting: Vec<Question>) {
    let Some(leader) = waiting.last().map(|question| question.leader.clone()) else { return };
    let answer = ask.read_index(&leader, Instant::now() + ANSWER_WITHIN).await;
    for question in waiting {
        // Who gave up waiting has no ear any more.
        let _ = question.reply.send(answer.clone());
    }
}

impl std::fmt::Debug for IndexAsker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("IndexAsker").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
