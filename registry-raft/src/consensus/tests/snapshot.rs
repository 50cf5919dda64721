//! Snapshots: made by policy, sent to members that are behind.

use super::cluster::{Cluster, within};
use crate::consensus::CompactionPolicy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_far_behind_gets_a_snapshot_with_the_state() {
    let mut cluster = Cluster::prepare(3);
    cluster.compaction = CompactionPolicy { entries: 20, entries_kept: 0, ..CompactionPolicy::default() };
    for id in 1..=3 {
        cluster.start_member(id, crate::storage::Storage::memory().unwrap()).await;
    }
    let leader = cluster.leader().await;
    let behind = (1..=3).find(|id| *id != leader).unwrap();
    cluster.caught_up(behind, leader).await;
    cluster.board.isolate(behind);
    let reached = cluster.member(behind).status().last_log;
    loop {
        within(cluster.write(leader)).await.unwrap();
        if cluster.member(leader).status().purged > reached {
            break;
        }
    }
    cluster.board.rejoin(behind);
    cluster.caught_up(behind, leader).await;
    assert_eq!(cluster.clients_of(behind), cluster.clients_of(leader));
    assert!(!cluster.members[&behind].observer.replaced.lock().unwrap().is_empty(), "no snapshot was installed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_compacted_by_the_policy_on_every_member() {
    let mut cluster = Cluster::prepare(3);
    cluster.compaction = CompactionPolicy { entries: 10, entries_kept: 5, ..CompactionPolicy::default() };
    for id in 1..=3 {
        cluster.start_member(id, crate::storage::Storage::memory().unwrap()).await;
    }
    let leader = cluster.leader().await;
    for _ in 0..30 {
        within(cluster.write(leader)).await.unwrap();
    }
    for id in 1..=3 {
        let mut leadership = cluster.member(id).leadership();
        while cluster.member(id).status().purged.is_none() {
            within(cluster.write(leader)).await.unwrap();
            assert!(leadership.borrow_and_update().fatal.is_none());
        }
    }
}
