//! The disk's watchdog: a leader whose disk hangs would keep its followers quiet with heartbeats and serve nobody.

use std::sync::Arc;

use metrics::counter;
use openraft::ServerState;

use super::shared::Shared;
use crate::storage::Log;

/// Lets another member lead when this one leads and its disk has not finished a write for too long.
///
/// A leader that hands over sends no more heartbeats, so that the others elect one of them even if the successor that it
/// names does not answer. What hangs for longer still is given up by the storage, and the member stops.
pub(crate) async fn watch_disk(shared: Arc<Shared>, log: Log) {
    loop {
        tokio::time::sleep(shared.timing.disk_stall / 8).await;
        let Some(stalled) = log.oldest_unfinished().filter(|age| *age >= shared.timing.disk_stall) else {
            continue;
        };
        let metrics = shared.server_metrics();
        if metrics.state != ServerState::Leader {
            continue;
        }
        let Some(successor) = shared.successor() else {
            continue;
        };
        counter!("registry_raft_disk_stalls_total").increment(1);
        tracing::error!(
            member = shared.identity.node,
            ?stalled,
            successor,
            "the disk hangs: another member shall lead"
        );
        if shared.hand_over(metrics.vote.leader_id.term, successor).await.is_err() {
            return;
        }
        // The successor needs an election; asking again at once would only start it over.
        tokio::time::sleep(shared.timing.election_timeout_max).await;
    }
}
