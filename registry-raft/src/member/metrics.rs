//! What is counted, under which names. The table in `docs/operations.md` lists them.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::MissedTickBehavior;

/// The metrics of one member, looked up once. Several members of one process differ by the label `member`.
pub(crate) struct Meters {
    pub(crate) proposals: Counter,
    pub(crate) proposals_refused: Counter,
    pub(crate) batch_len: Histogram,
    pub(crate) batch_seconds: Histogram,
    pub(crate) applied_index: Gauge,
    pub(crate) leading: Gauge,
    pub(crate) term: Gauge,
    pub(crate) leader_changes: Counter,
    pub(crate) sessions: Gauge,
    pub(crate) clients: Gauge,
    pub(crate) heartbeats: Counter,
    pub(crate) expiries: Counter,
    pub(crate) stalls: Counter,
    pub(crate) reads: Counter,
    pub(crate) read_index_seconds: Histogram,
    pub(crate) subscriptions: Gauge,
    pub(crate) events: Counter,
    pub(crate) overflows: Counter,
    pub(crate) grant_waits: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
}

impl Meters {
    /// The metrics of this member, in the recorder that the process has now.
    pub(crate) fn new(member: u64) -> Self {
        let member = member.to_string();
        let counter = |name: &'static str| counter!(name, "member" => member.clone());
        let gauge = |name: &'static str| gauge!(name, "member" => member.clone());
        let histogram = |name: &'static str| histogram!(name, "member" => member.clone());
        Self {
            proposals: counter("registry_raft_proposals_total"),
            proposals_refused: counter("registry_raft_proposals_refused_total"),
            batch_len: histogram("registry_raft_batch_proposals"),
            batch_seconds: histogram("registry_raft_batch_seconds"),
            applied_index: gauge("registry_raft_applied_index"),
            leading: gauge("registry_raft_leading"),
            term: gauge("registry_raft_term"),
            leader_changes: counter("registry_raft_leader_changes_total"),
            sessions: gauge("registry_raft_sessions"),
            clients: gauge("registry_raft_clients"),
            heartbeats: counter("registry_raft_heartbeats_total"),
            expiries: counter("registry_raft_expiries_total"),
            stalls: counter("registry_raft_leader_stalls_total"),
            reads: counter("registry_raft_reads_total"),
            read_index_seconds: histogram("registry_raft_read_index_seconds"),
            subscriptions: gauge("registry_raft_subscriptions"),
            events: counter("registry_raft_events_total"),
            overflows: counter("registry_raft_watch_overflows_total"),
            grant_waits: gauge("registry_raft_lock_waits"),
            connections: gauge("registry_raft_connections"),
            connections_refused: counter("registry_raft_connections_refused_total"),
        }
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Meters").finish_non_exhaustive()
    }
}

/// Samples of histograms wait in memory until they are counted: this often, whether somebody asks for them or not.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Counts what was sampled, until it is dropped.
pub(crate) async fn keep_up() {
    let Some(handle) = install() else { return };
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

/// Installs a Prometheus recorder for the process, once. `None` where the process has a recorder of its own already:
/// then our metrics go there, and this member's `/metrics` says so.
pub(crate) fn install() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            metrics::set_global_recorder(recorder).ok().map(|()| handle)
        })
        .as_ref()
}
