//! What the parts of the service ask of consensus: a seam, so that each part is tested without a cluster.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::boundary::Failed;
use crate::proto;
use crate::state_machine::StateMachine;

/// Where a leader is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaderHint {
    pub(crate) id: u64,
    pub(crate) address: String,
}

/// Who leads, as this member sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leadership {
    pub(crate) term: u64,
    pub(crate) leader: Option<LeaderHint>,
    /// This member leads.
    pub(crate) leading: bool,
    /// It leads, and has applied an entry of its own term: its state holds everything that was ever acknowledged.
    pub(crate) ready: bool,
}

/// Why a proposal or a ReadIndex has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProposeError {
    /// Surely not applied: another member leads, if any.
    NotLeader(Option<LeaderHint>),
    /// Surely not applied: this member leads but cannot serve now.
    RetryLater,
    /// It may have been applied, or may be later.
    Unknown(String),
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
