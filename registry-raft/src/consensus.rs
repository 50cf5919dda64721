//! Consensus: the only module that names openraft.
//!
//! It offers the rest of the crate a small API in our own types: proposals that become durable on a quorum and are
//! applied in one order everywhere, confirmation of leadership for reads, and a watch on who leads.
//!
//! ```text
//!   propose ──> openraft ──> log_store ──> storage::Log (fsync)        peer_service <── other members
//!                  │  └────> network ────> other members               succession: streams to other members
//!                  └ commit ──> apply ──> StateMachine ──> view, ApplyObserver
//! ```

mod apply;
mod codec;
mod compaction;
mod dial;
mod formation;
mod heartbeat;
mod identity;
mod leadership;
mod log_store;
mod network;
mod peer_service;
mod proposal;
mod registrar;
mod replication;
mod shared;
mod status;
mod succession;
mod types;
mod view;
mod watchdog;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use openraft::impls::OneshotResponder;
use openraft::{Config, ReadPolicy, SnapshotPolicy};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

#[cfg(feature = "micro")]
pub(crate) use self::codec::{append_request, append_request_of};
pub(crate) use self::compaction::CompactionPolicy;
pub(crate) use self::dial::{Dialer, TcpDialer};
#[cfg(test)]
pub(crate) use self::identity::PeerStamp;
pub(crate) use self::identity::{ClusterId, Identity};
pub(crate) use self::leadership::{LeaderHint, Leadership};
pub(crate) use self::proposal::{PendingProposal, ProposeError};
pub(crate) use self::status::ConsensusStatus;
pub(crate) use self::view::{ApplyObserver, StateView};

use self::apply::StateMachineAdapter;
use self::compaction::AppendMeter;
use self::dial::{AddressBook, Connector};
use self::log_store::LogStore;
use self::network::Network;
use self::registrar::Births;
use self::shared::Shared;
use self::types::Command;
use self::view::Published;
use crate::proto;
use crate::storage::{Log, Storage};
use crate::timing::Timing;

/// What a member starts from.
pub(crate) struct ConsensusSetup {
    /// Who it is.
    pub(crate) identity: Identity,
    /// Every configured member and where it is dialled, this one included; the same on all members.
    pub(crate) members: BTreeMap<u64, String>,
    /// Its log and snapshots, opened for this identity.
    pub(crate) storage: Storage,
    /// The durations it runs by.
    pub(crate) timing: Timing,
    /// When its log is compacted.
    pub(crate) compaction: CompactionPolicy,
    /// Told of everything that is applied.
    pub(crate) observer: Arc<dyn ApplyObserver>,
    /// How peers are connected to.
    pub(crate) dialer: Arc<dyn Dialer>,
}

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The members are not a group with this member in it, or the durations contradict each other.
    #[error("{0}")]
    Setup(String),
    /// Its storage failed.
    #[error("the storage of this member: {0}")]
    Storage(#[from] io::Error),
    /// The core did not start.
    #[error("consensus does not start: {0}")]
    Core(String),
}

/// One member's part in consensus. Cheap to clone; the last clone that is dropped stops it, [`Consensus::shutdown`] does
/// so in good order.
#[derive(Clone)]
pub(crate) struct Consensus {
    shared: Arc<Shared>,
    leadership: watch::Receiver<Leadership>,
    storage: Storage,
    _stop_on_drop: Arc<DropGuard>,
}

impl fmt::Debug for Consensus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Consensus").field("identity", &self.shared.identity).finish_non_exhaustive()
    }
}

impl Consensus {
    /// Starts a member: recovers its state and takes part in the group, or forms it with the others.
    ///
    /// Returns before there is a leader; [`Consensus::routes`] must be served for that. What goes wrong later is told by
    /// [`Consensus::fatal`].
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing goes on then.
    pub(crate) async fn start(setup: ConsensusSetup) -> Result<Self, StartError> {
        let ConsensusSetup { identity, members, storage, timing, compaction, observer, dialer } = setup;
        if !members.contains_key(&identity.node) {
            return Err(StartError::Setup(format!("member {} is not among the configured members", identity.node)));
        }
        let config = config(&timing, &compaction).validate().map_err(|error| StartError::Setup(error.to_string()))?;
        let meter = Arc::new(AppendMeter::default());
        let log = LogStore::new(storage.log().clone(), meter.clone());
        let published = Arc::new(Published::new());
        let machine = load(storage.clone(), published.clone(), observer).await?;
        let connector = Connector::new(identity, AddressBook::new(members.clone()), dialer, timing);
        let network = Network::new(connector.clone(), timing);
        let core = openraft::Raft::new(identity.node, Arc::new(config), network, log, machine)
            .await
            .map_err(|error| StartError::Core(error.to_string()))?;
        let birth = storage.incarnation();
        let stopping = CancellationToken::new();
        let guard = Arc::new(stopping.clone().drop_guard());
        let shared = Arc::new(Shared {
            identity,
            birth,
            timing,
            core,
            connector,
            published,
            admitted: watch::Sender::new(false),
            handed_over: AtomicU64::new(0),
            gone: Mutex::default(),
            fatal: watch::Sender::new(None),
            stopping,
            tasks: TaskTracker::new(),
        });
        let leadership = spawn_tasks(&shared, members, meter, compaction, storage.log().clone());
        Ok(Self { shared, leadership, storage, _stop_on_drop: guard })
    }

    /// The services that peers call: to be served at the address that the members have configured for this one.
    pub(crate) fn routes(&self) -> Routes {
        peer_service::routes(self.shared.clone())
    }

    /// Proposes an encoded [`Batch`](proto::Batch) and waits until it is applied here.
    ///
    /// Many calls may be in flight. Where the order in the log matters, use [`Consensus::submit`].
    ///
    /// # Errors
    ///
    /// `NotLeader` and `RetryLater`: surely not applied. `Unknown`: it may be applied, now or later.
    ///
    /// # Cancellation
    ///
    /// Once polled, the proposal may be applied although the future is dropped.
    pub(crate) async fn propose(&self, batch: Bytes) -> Result<Vec<proto::Outcome>, ProposeError> {
        self.submit(batch).await?.outcomes().await
    }

    /// Gives a batch its place in the log: batches of one caller are in the log in the order in which these calls
    /// returned. Waits only when very many proposals are queued already.
    ///
    /// # Errors
    ///
    /// As [`Consensus::propose`].
    pub(crate) async fn submit(&self, batch: Bytes) -> Result<PendingProposal, ProposeError> {
        let (responder, answer) = OneshotResponder::new_pair();
        match self.shared.core.client_write_ff(Command(batch), Some(responder)).await {
            Ok(()) => Ok(PendingProposal { answer }),
            Err(fatal) => Err(ProposeError::Unknown(fatal.to_string())),
        }
    }

    /// Confirms by a quorum that this member leads, and gives the index that must be applied before a read is served
    /// that is to see everything acknowledged before this call. Calls made at the same time share one round.
    ///
    /// # Errors
    ///
    /// `NotLeader`, or `RetryLater` when no quorum answered within the leader's lease.
    pub(crate) async fn read_index(&self) -> Result<u64, ProposeError> {
        let confirmed = self.shared.core.get_read_linearizer(ReadPolicy::ReadIndex).await;
        Ok(confirmed.map_err(proposal::read_error)?.read_log_id().index())
    }

    /// Waits until the entry at `index` is applied here, without a limit of time: the caller adds one.
    pub(crate) async fn wait_applied(&self, index: u64) {
        let mut applied = self.shared.published.position();
        // The sender lives as long as `self`.
        drop(applied.wait_for(|applied| applied.next > index).await);
    }

    /// Who leads; a late watcher sees the current value first.
    pub(crate) fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Until when this member may act as the leader without asking anybody: the time at which a quorum was last asked
    /// and answered, plus the lease. `None` unless it leads, was confirmed, and has not asked another to lead.
    ///
    /// Good for duties that a new leader makes up for, such as taking heartbeats. No read relies on it: survivors that
    /// are told by the network, falsely, that this process is gone do not wait for the end of its lease.
    pub(crate) fn confirmed_until(&self) -> Option<Instant> {
        status::confirmed_until(&self.shared)
    }

    /// The applied state as it is now.
    pub(crate) fn view(&self) -> StateView {
        self.shared.published.view()
    }

    /// Where this member stands.
    pub(crate) fn status(&self) -> ConsensusStatus {
        status::status(&self.shared)
    }

    /// Waits until this member must stop for good, and says why: its log failed, a command is unknown to this version,
    /// or its data was lost. Never returns for a member that was shut down in order.
    pub(crate) async fn fatal(&self) -> String {
        let mut fatal = self.shared.fatal.subscribe();
        let reason = fatal.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Hands leadership to the member that is furthest, and waits until another leads. Proposals are refused with
    /// `RetryLater` meanwhile.
    ///
    /// # Errors
    ///
    /// [`TransferError`]; if nobody took over in time, an election decides who leads next.
    pub(crate) async fn transfer_leadership(&self) -> Result<(), TransferError> {
        let term = self.leadership.borrow().term;
        if !self.leadership.borrow().leading {
            return Err(TransferError::NotLeader);
        }
        let successor = self.shared.successor().ok_or(TransferError::NoSuccessor)?;
        self.shared.hand_over(term, successor).await.map_err(|_stopped| TransferError::NotLeader)?;
        let mut leadership = self.leadership.clone();
        let handed_over = leadership.wait_for(|now| !now.leading && now.leader.is_some());
        match tokio::time::timeout(self.shared.timing.election_timeout_max * 2, handed_over).await {
            Ok(_) => Ok(()),
            Err(_) => Err(TransferError::TimedOut),
        }
    }

    /// Stops in good order: takes nothing any more, ends every task, closes the log. Whoever leads calls
    /// [`Consensus::transfer_leadership`] first. Safe to call more than once.
    pub(crate) async fn shutdown(&self) {
        self.shared.admitted.send_replace(false);
        self.shared.stopping.cancel();
        // The core has nothing more to say: what was not acknowledged is unknown to whoever proposed it.
        drop(self.shared.core.shutdown().await);
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        let storage = self.storage.clone();
        match tokio::task::spawn_blocking(move || storage.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the log was not closed in order"),
            Err(error) => tracing::warn!(%error, "the log was not closed in order"),
        }
    }
}

/// Why leadership was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransferError {
    /// This member does not lead.
    #[error("this member does not lead")]
    NotLeader,
    /// There is no other voter.
    #[error("there is no other voter")]
    NoSuccessor,
    /// Nobody took over within two election timeouts.
    #[error("nobody took over in time")]
    TimedOut,
}

fn spawn_tasks(
    shared: &Arc<Shared>,
    members: BTreeMap<u64, String>,
    meter: Arc<AppendMeter>,
    compaction: CompactionPolicy,
    log: Log,
) -> watch::Receiver<Leadership> {
    let (sender, leadership) = watch::channel(Leadership::default());
    let births = Arc::new(Births::default());
    let configured = members.keys().copied().collect();
    shared.spawn(leadership::follow(shared.clone(), sender));
    shared.spawn(leadership::watch_core(shared.clone()));
    shared.spawn(succession::watch_peers(shared.clone(), births.clone(), configured));
    shared.spawn(registrar::keep_register(shared.clone(), births, leadership.clone()));
    shared.spawn(watchdog::watch_disk(shared.clone(), log));
    shared.spawn(compaction::compact(shared.clone(), meter, compaction));
    shared.spawn(formation::take_part(shared.clone(), members));
    leadership
}

async fn load(
    storage: Storage,
    published: Arc<Published>,
    observer: Arc<dyn ApplyObserver>,
) -> io::Result<StateMachineAdapter> {
    let load = move || StateMachineAdapter::load(storage.snapshots().clone(), published, observer);
    tokio::task::spawn_blocking(load).await.map_err(io::Error::other)?
}

/// The configuration of openraft; what is not named here is its default.
fn config(timing: &Timing, compaction: &CompactionPolicy) -> Config {
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Config {
        cluster_name: "registry".to_owned(),
        heartbeat_interval: millis(timing.heartbeat),
        election_timeout_min: millis(timing.election_timeout_min),
        election_timeout_max: millis(timing.election_timeout_max),
        install_snapshot_timeout: millis(timing.snapshot_timeout),
        // Whoever cannot win does not raise the term.
        enable_pre_vote: Some(true),
        // A leader that lost its quorum falls silent, so that those who still hear it elect another.
        quorum_loss_probe_interval: Some(millis(timing.election_timeout_max).saturating_mul(2)),
        // A restarted leader asks again: others may have been promised its lease's end meanwhile.
        enable_leader_restore: Some(false),
        // Our own policy asks for snapshots.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: compaction.entries_kept,
        // Further behind than two snapshots: the log may be gone, a snapshot is quicker.
        replication_lag_threshold: compaction.entries.saturating_mul(2),
        // Bounded in bytes by what a read of the log returns.
        max_payload_entries: 1024,
        ..Config::default()
    }
}
