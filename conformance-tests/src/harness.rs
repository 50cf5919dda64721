//! What a backend's own tests bring: how to start it, connect to it, and disturb it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use registry_api::Registry;

use crate::{Outcome, Timing};

/// An [`expected`](Harness::expected) list that is compared with nothing: for servers that others started, where it is
/// theirs what can be shown.
pub const NOT_COMMITTED: &str = "*";

/// One way to run a backend: which cases apply is decided by what it declares here and by its capabilities.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// The name in reports and in front of every case: `memory`, `raft-three`.
    fn name(&self) -> &'static str;

    /// The durations of this backend.
    fn timing(&self) -> Timing;

    /// How many members a cluster of this harness has.
    fn members(&self) -> usize;

    /// The faults that [`Cluster::inject`] can do.
    fn faults(&self) -> &'static [Fault];

    /// The committed list of cases that do not run here, one a line, as the runner prints it; or [`NOT_COMMITTED`].
    fn expected(&self) -> &'static str;

    /// The committed declaration of the backend's capabilities, as the runner writes it. It is the backend's: every
    /// harness of a backend has the same one.
    fn capabilities(&self) -> &'static str;

    /// Starts a fresh cluster that shares nothing with any other.
    async fn start(&self) -> Outcome<Arc<dyn Cluster>>;
}

/// A running cluster. It stops when it is dropped.
#[async_trait]
pub trait Cluster: Send + Sync + 'static {
    /// A new connection of its own, as a new process of an application would make it. With several members the
    /// connections are spread over them.
    async fn connect(&self) -> Outcome<Arc<dyn Registry>>;

    /// A new connection that is served by this member (counted from 0) as long as it lives.
    async fn connect_to(&self, member: usize) -> Outcome<Arc<dyn Registry>>;

    /// Does this to the servers, and returns when it is done. Only asked for faults that the harness declares.
    async fn inject(&self, fault: Fault) -> Outcome;

    /// Which member leads now (counted from 0); waits until one does. 0 where there is no such role.
    async fn leader(&self) -> Outcome<usize>;

    /// How many bytes the members together hold on disk; `None` where nothing is stored.
    async fn disk_usage(&self) -> Outcome<Option<u64>>;
}

/// Something that happens to servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The member dies at once, without any farewell.
    Kill(usize),
    /// A killed member starts again with the data it had.
    Start(usize),
    /// The member stops in good order and starts again with the data it had.
    Restart(usize),
    /// All members die at once, then all start again with the data they had.
    RestartAll,
    /// The leadership moves to another member, in good order.
    ChangeLeader,
    /// The member's process stands still (SIGSTOP).
    Pause(usize),
    /// A paused member goes on.
    Resume(usize),
    /// The member and the others cannot reach each other; clients still reach it.
    Isolate(usize),
    /// Undoes every isolation.
    Heal,
    /// All members die at once and start again on new addresses.
    MoveAll,
    /// The connections of all clients to the member end, and new ones are refused; the other members still reach it.
    CutClients(usize),
    /// The connections of all clients to the member end with a reset; new ones pass.
    ResetClients(usize),
    /// Nothing passes between the member and its clients, and nothing says so.
    HoldClients(usize),
    /// What clients send arrives at the member; what it answers does not arrive.
    HoldAnswers(usize),
    /// Everything between the member and its clients takes a tenth of a second longer, in each direction.
    DelayClients(usize),
    /// Undoes what was done to the connections of clients; what was held back arrives.
    MendClients,
    /// The servers forget the history of changes before now.
    Compact,
}

impl Fault {
    /// Whether `declared` covers this fault; the member it names does not matter.
    #[must_use]
    pub fn is_among(self, declared: &[Self]) -> bool {
        declared.iter().any(|other| std::mem::discriminant(other) == std::mem::discriminant(&self))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kill(_) => "kill a member",
            Self::Start(_) => "start a killed member",
            Self::Restart(_) => "restart a member",
            Self::RestartAll => "restart all members",
            Self::ChangeLeader => "change the leader",
            Self::Pause(_) => "pause a member",
            Self::Resume(_) => "resume a member",
            Self::Isolate(_) => "isolate a member",
            Self::Heal => "heal the network",
            Self::MoveAll => "move all members to new addresses",
            Self::CutClients(_) => "cut the connections of clients",
            Self::ResetClients(_) => "reset the connections of clients",
            Self::HoldClients(_) => "hold back what clients and a member send",
            Self::HoldAnswers(_) => "hold back what a member answers",
            Self::DelayClients(_) => "slow the connections of clients",
            Self::MendClients => "mend the connections of clients",
            Self::Compact => "forget the history of changes",
        })
    }
}
