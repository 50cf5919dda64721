//! What the parts of the service ask of consensus: a seam, so that each part is tested without a cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::boundary::Failed;
use crate::consensus::Consensus;
pub(crate) use crate::consensus::{LeaderHint, Leadership, ProposeError};
use crate::proto;
use crate::state_machine::StateMachine;

/// Where the log stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogStatus {
    pub(crate) term: u64,
    pub(crate) last_log_index: u64,
    pub(crate) applied_index: u64,
}

/// Consensus, as the service sees it.
#[async_trait]
pub(crate) trait Quorum: Send + Sync + 'static {
    /// Proposes an encoded batch; one outcome for each of its proposals, after it was applied here.
    async fn propose(&self, batch: Bytes) -> Result<Vec<proto::Outcome>, ProposeError>;
    /// The log position that a linearizable read must have applied; only the leader can tell.
    async fn read_index(&self) -> Result<u64, ProposeError>;
    /// Waits until this position is applied. Without a deadline of its own.
    async fn wait_applied(&self, index: u64);
    /// Who leads.
    fn leadership(&self) -> watch::Receiver<Leadership>;
    /// Until when no other member can lead; `None` while this one does not.
    fn confirmed_until(&self) -> Option<Instant>;
    /// The applied state as it is now.
    fn state(&self) -> Arc<StateMachine>;
    /// Where the log stands.
    fn log_status(&self) -> LogStatus;
    /// The members of the group, and where they are dialled.
    fn members(&self) -> BTreeMap<u64, String>;
}

/// Consensus, which is started after the parts that observe it were made. Before that nothing can be asked of it.
#[derive(Debug)]
pub(crate) struct LateQuorum {
    consensus: OnceLock<Consensus>,
    nobody: watch::Sender<Leadership>,
}

impl LateQuorum {
    pub(crate) fn new() -> Self {
        Self { consensus: OnceLock::new(), nobody: watch::Sender::new(Leadership::default()) }
    }

    /// Consensus has started.
    pub(crate) fn set(&self, consensus: Consensus) {
        // Set once, by whoever starts the member.
        let _first = self.consensus.set(consensus);
    }
}

#[async_trait]
impl Quorum for LateQuorum {
    async fn propose(&self, batch: Bytes) -> Result<Vec<proto::Outcome>, ProposeError> {
        match self.consensus.get() {
            Some(consensus) => consensus.propose(batch).await,
            None => Err(ProposeError::RetryLater),
        }
    }

    async fn read_index(&self) -> Result<u64, ProposeError> {
        match self.consensus.get() {
            Some(consensus) => consensus.read_index().await,
            None => Err(ProposeError::RetryLater),
        }
    }

    async fn wait_applied(&self, index: u64) {
        match self.consensus.get() {
            Some(consensus) => consensus.wait_applied(index).await,
            None => std::future::pending().await,
        }
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.consensus.get().map_or_else(|| self.nobody.subscribe(), Consensus::leadership)
    }

    fn confirmed_until(&self) -> Option<Instant> {
        self.consensus.get().and_then(Consensus::confirmed_until)
    }

    fn state(&self) -> Arc<StateMachine> {
        self.consensus.get().map_or_else(|| Arc::new(StateMachine::new()), |consensus| consensus.view().state)
    }

    fn log_status(&self) -> LogStatus {
        let Some(status) = self.consensus.get().map(Consensus::status) else { return LogStatus::default() };
        LogStatus {
            term: status.term,
            last_log_index: status.last_log.unwrap_or_default(),
            applied_index: status.applied.unwrap_or_default(),
        }
    }

    fn members(&self) -> BTreeMap<u64, String> {
        self.consensus.get().map(|consensus| consensus.status().members).unwrap_or_default()
    }
}

impl From<ProposeError> for Failed {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader(leader) => not_leader(leader.as_ref()),
            ProposeError::RetryLater => {
                Self::refused(proto::Failure::Unavailable, "the leader cannot reach a quorum, or is about to change")
            }
            ProposeError::Unknown(message) => unknown(proto::Failure::Unavailable, message),
        }
    }
}

/// Refused because this member does not lead; names the leader where it is known.
pub(crate) fn not_leader(leader: Option<&LeaderHint>) -> Failed {
    Failed::Refused(proto::Refusal {
        failure: proto::Failure::NotLeader.into(),
        message: "this member does not lead".to_owned(),
        leader: leader.map(|leader| format!("{}@{}", leader.id, leader.address)).unwrap_or_default(),
        ..proto::Refusal::default()
    })
}

/// Refused, and nobody can tell whether it was applied.
pub(crate) fn unknown(failure: proto::Failure, message: impl Into<String>) -> Failed {
    Failed::Refused(proto::Refusal {
        failure: failure.into(),
        message: message.into(),
        effect_unknown: true,
        ..proto::Refusal::default()
    })
}
