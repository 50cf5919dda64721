//! Reads at any member: as fresh as asked for, from what this member has applied.
//!
//! A linearizable read takes the leader's commit index, confirmed by a quorum after the read arrived (ReadIndex, Ongaro,
//! "Consensus: Bridging Theory and Practice", 2014, section 6.4), waits until this member has applied it, and reads its
//! own state. The leader is asked once for all reads that wait at the moment, also where it is this member.

mod leader_index;

use std::sync::Arc;
use std::time::Duration;

use registry_api::{Key, ListContents, LockName, Scope};
use tokio::time::{Instant, timeout_at};

pub(crate) use self::leader_index::{AskLeader, IndexAsker, LeaderIndex};
use crate::boundary::Failed;
use crate::convert::{ConvertError, required};
use crate::member::applied::Applied;
use crate::member::listing::ListWalk;
use crate::member::metrics::Meters;
use crate::member::quorum::{ProposeError, Quorum};
use crate::proto;
use crate::state_machine::StateMachine;

/// How long a read looks for a leader before it is refused, so that the client can try another member.
const LEADER_WITHIN: Duration = Duration::from_millis(500);
/// The pause before a leader that refused is asked again, unless another one is known earlier.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Answers reads from the applied state.
pub(crate) struct Reads {
    quorum: Arc<dyn Quorum>,
    applied: Arc<Applied>,
    leader: LeaderIndex,
    meters: Arc<Meters>,
}

impl Reads {
    pub(crate) fn new(
        quorum: Arc<dyn Quorum>,
        applied: Arc<Applied>,
        leader: LeaderIndex,
        meters: Arc<Meters>,
    ) -> Self {
        Self { quorum, applied, leader, meters }
    }

    /// One key.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`, `UNAVAILABLE`, `DEADLINE_EXCEEDED`.
    pub(crate) async fn get(&self, get: proto::Get, deadline: Instant) -> Result<proto::GetAnswer, Failed> {
        let key = Key::parse(&get.key).map_err(|error| invalid(error.into()))?;
        let state = self.state(get.freshness, deadline).await?;
        Ok((&state.get(&key)).into())
    }

    /// A scope, to be taken part by part.
    ///
    /// # Errors
    ///
    /// As of [`Reads::get`].
    pub(crate) async fn list(&self, list: proto::List, deadline: Instant) -> Result<ListWalk, Failed> {
        let scope = Scope::try_from(required(list.scope, "scope").map_err(invalid)?).map_err(invalid)?;
        let after = match list.after.as_str() {
            "" => None,
            after => Some(Key::parse(after).map_err(|error| invalid(error.into()))?),
        };
        let contents = if list.keys_only { ListContents::KeysOnly } else { ListContents::Entries };
        let state = self.state(list.freshness, deadline).await?;
        Ok(ListWalk::new(state, scope).with_options(contents, list.limit, after))
    }

    /// Who holds a lock, and who waits.
    ///
    /// # Errors
    ///
    /// As of [`Reads::get`].
    pub(crate) async fn lock(
        &self,
        inspect: proto::InspectLock,
        deadline: Instant,
    ) -> Result<proto::LockState, Failed> {
        let name = LockName::parse(&inspect.name).map_err(|error| invalid(error.into()))?;
        let state = self.state(inspect.freshness, deadline).await?;
        Ok((&state.lock(&name)).into())
    }

    /// Waits until this member has applied everything that was acknowledged before this call.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE`, `DEADLINE_EXCEEDED`.
    pub(crate) async fn catch_up(&self, deadline: Instant) -> Result<(), Failed> {
        let started = Instant::now();
        let index = self.read_index(deadline).await?;
        self.meters.read_index_seconds.record(started.elapsed());
        timeout_at(deadline, self.quorum.wait_applied(index)).await.map_err(|_elapsed| {
            let message = "this member has not applied yet what the leader had committed";
            Failed::refused(proto::Failure::DeadlineExceeded, message)
        })
    }

    /// The state, as fresh as asked for. Without a word about freshness, what was applied is enough.
    async fn state(&self, freshness: Option<proto::Freshness>, deadline: Instant) -> Result<Arc<StateMachine>, Failed> {
        self.meters.reads.increment(1);
        let freshness = freshness.unwrap_or_default();
        if freshness.linearizable {
            self.catch_up(deadline).await?;
        }
        if let Some(at_least) = freshness.at_least {
            self.applied.reached(at_least.into(), deadline).await?;
        }
        Ok(self.quorum.state())
    }

    async fn read_index(&self, deadline: Instant) -> Result<u64, Failed> {
        let until = deadline.min(Instant::now() + LEADER_WITHIN);
        let mut leadership = self.quorum.leadership();
        loop {
            let now = leadership.borrow_and_update().clone();
            let asked = async {
                match &now.leader {
                    Some(leader) => self.leader.ask(leader.clone()).await,
                    None => Err(ProposeError::NotLeader(None).into()),
                }
            };
            let failed = match timeout_at(deadline, asked).await {
                Ok(Ok(index)) => return Ok(index),
                Ok(Err(failed)) => failed,
                Err(_elapsed) => {
                    return Err(Failed::refused(proto::Failure::DeadlineExceeded, "the leader did not answer in time"));
                }
            };
            if Instant::now() >= until {
                return Err(without_leader(&failed));
            }
            let pause = until.min(Instant::now() + ASK_AGAIN_AFTER);
            let _changed_or_not = timeout_at(pause, leadership.changed()).await;
        }
    }
}

/// A follower's failure to reach the leader is not the client's failure to reach a member: one word for it.
fn without_leader(failed: &Failed) -> Failed {
    let why = match failed {
        Failed::Refused(refusal) => &refusal.message,
        Failed::NotSent(why) | Failed::Lost(why) => why,
    };
    Failed::refused(proto::Failure::Unavailable, format!("no leader confirms what was committed: {why}"))
}

fn invalid(error: ConvertError) -> Failed {
    Failed::Refused(error.into_refusal())
}

impl std::fmt::Debug for Reads {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reads").finish_non_exhaustive()
    }
}
