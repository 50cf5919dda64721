//! Who leads, as this member sees it.

use std::sync::Arc;

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use super::shared::Shared;

/// Who leads in which term.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// The newest term that this member knows of.
    pub(crate) term: u64,
    /// The leader of that term, if this member knows one.
    pub(crate) leader: Option<LeaderHint>,
    /// Whether this member leads.
    pub(crate) leading: bool,
    /// Whether this member leads and has applied an entry of its own term: from then on its state holds everything that
    /// was ever acknowledged.
    pub(crate) ready: bool,
    /// Why this member must stop; it takes part in nothing any more.
    pub(crate) fatal: Option<String>,
}

/// A leader and where it is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaderHint {
    /// Its member id.
    pub(crate) id: u64,
    /// Where it is dialled; empty when unknown.
    pub(crate) address: String,
}

/// Keeps `sender` up to date for as long as the member lives.
pub(crate) async fn follow(shared: Arc<Shared>, sender: watch::Sender<Leadership>) {
    let mut metrics = shared.core.server_metrics();
    let mut applied = shared.published.position();
    let mut fatal = shared.fatal.subscribe();
    let mut core_runs = true;
    loop {
        let current = current(&shared, applied.borrow_and_update().term, fatal.borrow_and_update().clone());
        let awaits_first_entry = current.leading && !current.ready;
        sender.send_if_modified(|known| {
            let changed = *known != current;
            if changed {
                tracing::info!(member = shared.identity.node, leadership = ?current, "leadership");
                *known = current;
            }
            changed
        });
        tokio::select! {
            // A core that is gone says no more; why it is gone comes through `fatal`.
            changed = metrics.changed(), if core_runs => core_runs = changed.is_ok(),
            changed = fatal.changed() => if changed.is_err() { return },
            changed = applied.changed(), if awaits_first_entry => if changed.is_err() { return },
        }
    }
}

fn current(shared: &Shared, applied_term: u64, fatal: Option<String>) -> Leadership {
    let metrics = shared.server_metrics();
    let term = metrics.vote.leader_id.term;
    if fatal.is_some() {
        return Leadership { term, fatal, ..Leadership::default() };
    }
    let leading = metrics.state == ServerState::Leader;
    let leader = metrics.current_leader.map(|id| LeaderHint { id, address: shared.address_of(id) });
    Leadership { term, leader, leading, ready: leading && applied_term == term, fatal }
}

/// Turns a failure of the core into a reason to stop, and stops the core for every other reason.
///
/// The end of the core is the end of what it says of its role: its full metrics change with every entry, and would wake
/// this task as often.
pub(crate) async fn watch_core(shared: Arc<Shared>) {
    let mut role = shared.core.server_metrics();
    let mut fatal = shared.fatal.subscribe();
    loop {
        if fatal.borrow_and_update().is_some() {
            // The core cannot fail to stop in a way that matters here: it takes nothing any more.
            drop(shared.core.shutdown().await);
            return;
        }
        tokio::select! {
            changed = role.changed() => if changed.is_err() {
                shared.fail(match shared.metrics().running_state {
                    Err(error) => format!("consensus stopped: {error}"),
                    Ok(()) => "consensus stopped".to_owned(),
                });
            },
            changed = fatal.changed() => if changed.is_err() { return },
        }
    }
}
