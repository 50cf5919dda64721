//! Proposals on their way through the log, and what is known when they fail.

use openraft::errors::{ClientWriteError, ForwardReason, ForwardToLeader, LinearizableReadError, RaftError};
use openraft::raft::ClientWriteResponse;
use tokio::sync::oneshot;

use super::leadership::LeaderHint;
use super::types::Raft;
use crate::proto;

/// Why a proposal, or a confirmation of leadership, has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProposeError {
    /// Surely not applied: this member does not lead.
    #[error("this member does not lead")]
    NotLeader(Option<LeaderHint>),
    /// Surely not applied: this member leads but may not serve for the moment (no quorum has confirmed it within its
    /// lease, or it hands over to another).
    #[error("the leader cannot serve for the moment")]
    RetryLater,
    /// It may be applied, now or later.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

type Written = Result<ClientWriteResponse<Raft>, ClientWriteError<Raft>>;

/// A proposal that has its place in the order of this leader's proposals.
#[derive(Debug)]
pub(crate) struct PendingProposal {
    pub(crate) answer: oneshot::Receiver<Written>,
}

impl PendingProposal {
    /// Waits until the proposal is applied; there is no limit of time, the caller adds one.
    ///
    /// # Errors
    ///
    /// As [`Consensus::propose`](super::Consensus::propose).
    ///
    /// # Cancellation
    ///
    /// Dropping the future does not withdraw the proposal.
    pub(crate) async fn outcomes(self) -> Result<Vec<proto::Outcome>, ProposeError> {
        match self.answer.await {
            Ok(Ok(written)) => Ok(written.data.0),
            Ok(Err(ClientWriteError::ForwardToLeader(forward))) => Err(forwarded(forward)),
            Ok(Err(error)) => Err(ProposeError::Unknown(error.to_string())),
            Err(_) => Err(ProposeError::Unknown("consensus stopped".to_owned())),
        }
    }
}

/// Only `ForwardToLeader` says for sure that nothing was written.
fn forwarded(forward: ForwardToLeader<Raft>) -> ProposeError {
    match forward.reason {
        ForwardReason::LeaseExpired | ForwardReason::LeadershipTransfer => ProposeError::RetryLater,
        ForwardReason::NotLeader => ProposeError::NotLeader(hint(forward)),
    }
}

fn hint(forward: ForwardToLeader<Raft>) -> Option<LeaderHint> {
    let id = forward.leader_id?;
    Some(LeaderHint { id, address: forward.leader_node.map(|member| member.address).unwrap_or_default() })
}

/// Reads change nothing, so none of these is `Unknown`.
pub(crate) fn read_error(error: RaftError<Raft, LinearizableReadError<Raft>>) -> ProposeError {
    match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => forwarded(forward),
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => ProposeError::RetryLater,
        RaftError::Fatal(_) => ProposeError::NotLeader(None),
    }
}
