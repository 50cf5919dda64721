//! Where a member stands, for operators and for the leader's own duties.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, ServerState};
use tokio::time::Instant;

use super::shared::Shared;
use super::types::LogId;

/// Where a member stands in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsensusStatus {
    /// Its id.
    pub(crate) node: u64,
    /// Whether it takes part.
    pub(crate) admitted: bool,
    /// The newest term that it knows of.
    pub(crate) term: u64,
    /// Who leads.
    pub(crate) leader: Option<u64>,
    /// `leader`, `follower`, `candidate`, `learner` or `stopped`.
    pub(crate) role: &'static str,
    /// Index of the last entry of its log.
    pub(crate) last_log: Option<u64>,
    /// Index of the last entry that it knows to be committed.
    pub(crate) committed: Option<u64>,
    /// Index of the last entry that it applied.
    pub(crate) applied: Option<u64>,
    /// Index of the last entry in its newest snapshot.
    pub(crate) snapshot: Option<u64>,
    /// Index of the last entry that was removed from its log.
    pub(crate) purged: Option<u64>,
    /// Those who vote.
    pub(crate) voters: Vec<u64>,
    /// Every member and where it is dialled.
    pub(crate) members: BTreeMap<u64, String>,
    /// While it leads: when a quorum was last asked and answered.
    pub(crate) quorum_age: Option<Duration>,
    /// While it leads: how far the others are.
    pub(crate) peers: BTreeMap<u64, PeerProgress>,
    /// Why it must stop.
    pub(crate) fatal: Option<String>,
}

/// How far a member is, as the leader knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerProgress {
    /// Index of the last entry that it has.
    pub(crate) matched: Option<u64>,
    /// When it was last asked and answered.
    pub(crate) answer_age: Option<Duration>,
}

pub(crate) fn status(shared: &Shared) -> ConsensusStatus {
    let metrics = shared.metrics();
    let index = |id: &Option<LogId>| id.map(|id| id.index);
    let mut peers = BTreeMap::<u64, PeerProgress>::new();
    for (id, matched) in metrics.replication.iter().flatten() {
        peers.entry(*id).or_default().matched = index(matched);
    }
    for (id, answered) in metrics.heartbeat.iter().flatten() {
        peers.entry(*id).or_default().answer_age = answered.map(|at| at.elapsed());
    }
    ConsensusStatus {
        node: shared.identity.node,
        admitted: *shared.admitted.borrow(),
        term: metrics.current_term,
        leader: metrics.current_leader,
        role: role(metrics.state),
        last_log: metrics.last_log_index,
        committed: index(&metrics.local_committed),
        applied: shared.published.view().index,
        snapshot: index(&metrics.snapshot),
        purged: index(&metrics.purged),
        voters: metrics.membership_config.voter_ids().collect(),
        members: metrics.membership_config.nodes().map(|(id, member)| (*id, member.address.clone())).collect(),
        quorum_age: metrics.last_quorum_acked.map(|at| at.elapsed()),
        peers,
        fatal: shared.fatal.borrow().clone(),
    }
}

/// See [`Consensus::confirmed_until`](super::Consensus::confirmed_until).
pub(crate) fn confirmed_until(shared: &Shared) -> Option<Instant> {
    let server = shared.server_metrics();
    if server.state != ServerState::Leader || shared.fatal.borrow().is_some() {
        return None;
    }
    if shared.handed_over.load(Ordering::SeqCst) >= server.vote.leader_id.term {
        return None;
    }
    let now = Instant::now();
    let mut voters = server.membership_config.voter_ids();
    let alone = voters.next() == Some(shared.identity.node) && voters.next().is_none();
    let age = if alone {
        Duration::ZERO
    } else {
        shared.core.data_metrics().borrow_watched().last_quorum_acked.as_ref()?.elapsed()
    };
    now.checked_sub(age)?.checked_add(shared.timing.lease())
}

fn role(state: ServerState) -> &'static str {
    match state {
        ServerState::Learner => "learner",
        ServerState::Follower => "follower",
        ServerState::Candidate => "candidate",
        ServerState::Leader => "leader",
        ServerState::Shutdown => "stopped",
    }
}
