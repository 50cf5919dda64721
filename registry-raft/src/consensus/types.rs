//! The types that openraft is instantiated with: standard Raft terms, numbered members, opaque batches.

use std::fmt;

use bytes::Bytes;
use openraft::impls::{BoxedErrorSource, InlineBatch, OneshotResponder, leader_id_std};
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, OptionalSend, RaftTypeConfig};

use crate::proto;

/// How openraft is used here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Raft;

impl RaftTypeConfig for Raft {
    type D = Command;
    type R = Outcomes;
    type NodeId = u64;
    type Node = Member;
    type Term = u64;
    // At most one leader in a term, as in the Raft paper. Part of the disk format.
    type LeaderId = leader_id_std::LeaderId<u64, u64>;
    type Vote = openraft::Vote<Self::LeaderId>;
    type Payload = EntryPayload<Command, u64, Member>;
    type Entry = openraft::Entry<<Self::LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    type AsyncRuntime = openraft_rt_tokio::TokioRuntime;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

pub(crate) type Core = openraft::Raft<Raft, super::apply::StateMachineAdapter>;
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<Raft>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<Raft>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<Raft>;
pub(crate) type Payload = openraft::type_config::alias::PayloadOf<Raft>;
pub(crate) type LeaderId = openraft::type_config::alias::LeaderIdOf<Raft>;
pub(crate) type Membership = openraft::Membership<u64, Member>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Raft>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Raft>;
pub(crate) type Snapshot = openraft::type_config::alias::SnapshotOf<Raft, Bytes>;

/// A batch of proposals as it was encoded by whoever proposed it; kept as bytes, so that a member of an older version
/// stores and forwards what it does not know.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Command(pub(crate) Bytes);

impl fmt::Debug for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

/// What applying a batch gave, one for each proposal.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcomes(pub(crate) Vec<proto::Outcome>);

/// What the group knows of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// Where it is dialled, unless the configuration of the dialling member says otherwise.
    pub(crate) address: String,
    /// The number that its data directory got when it was made, which tells the member from another that came back empty
    /// under the same id; 0 until the leader has learned it.
    pub(crate) birth: u64,
}

/// The position in the log with this term and index.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId::new(term, 0).to_committed(), index)
}
