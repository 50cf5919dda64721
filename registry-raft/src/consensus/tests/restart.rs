//! Members that come back, with their data and without.

use std::path::Path;

use super::cluster::{Cluster, identity, within};
use crate::storage::{self, Opening, Storage, StorageOptions};

async fn open(directory: &Path, id: u64) -> Storage {
    let path = directory.join(id.to_string());
    let stamp = storage::Identity { cluster: identity(id).cluster.to_u128(), node: id };
    let incarnation = rand::random_range(1..u64::MAX);
    let options = StorageOptions { segment_bytes: 1 << 20, incarnation, ..StorageOptions::default() };
    let open = move || Storage::open(&path, stamp, Opening::CreateOrOpen, options);
    tokio::task::spawn_blocking(open).await.unwrap().unwrap()
}

async fn start(directory: &Path, count: u64) -> Cluster {
    let mut cluster = Cluster::prepare(count);
    for id in 1..=count {
        cluster.start_member(id, open(directory, id).await).await;
    }
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_the_death_of_all_members() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = start(directory.path(), 3).await;
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        let leader = cluster.leader().await;
        for _ in 0..20 {
            acknowledged.push(within(cluster.write(leader)).await.unwrap());
        }
        for id in 1..=3 {
            cluster.kill(id).await;
        }
        for id in 1..=3 {
            cluster.start_member(id, open(directory.path(), id).await).await;
        }
    }
    let leader = cluster.leader().await;
    for id in 1..=3 {
        cluster.caught_up(id, leader).await;
        assert_eq!(cluster.clients_of(id), acknowledged);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_comes_back_without_its_data_refuses_to_take_part() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = start(directory.path(), 3).await;
    let leader = cluster.leader().await;
    let wiped = (1..=3).find(|id| *id != leader).unwrap();
    recorded(&cluster, leader, 3).await;
    cluster.kill(wiped).await;
    std::fs::remove_dir_all(directory.path().join(wiped.to_string())).unwrap();
    cluster.start_member(wiped, open(directory.path(), wiped).await).await;
    let reason = within(cluster.member(wiped).fatal()).await;
    assert!(reason.contains("replace it by a new member with a new id"), "{reason}");
    assert!(!cluster.member(wiped).status().admitted);
    within(cluster.write(leader)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_starts_late_for_the_first_time_takes_part() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::prepare(3);
    for id in 1..=2 {
        cluster.start_member(id, open(directory.path(), id).await).await;
    }
    let leader = cluster.leader().await;
    within(cluster.write(leader)).await.unwrap();
    recorded(&cluster, leader, 2).await;
    cluster.start_member(3, open(directory.path(), 3).await).await;
    cluster.caught_up(3, leader).await;
    assert_eq!(cluster.clients_of(3), cluster.clients_of(leader));
}

/// Waits until the leader has recorded the birth numbers of so many members.
async fn recorded(cluster: &Cluster, leader: u64, count: usize) {
    use openraft::async_runtime::watch::WatchReceiver;
    let mut metrics = cluster.member(leader).shared.core.server_metrics();
    within(async {
        while metrics.borrow_watched().committed_membership_config.nodes().filter(|(_, node)| node.birth != 0).count()
            < count
        {
            metrics.changed().await.unwrap();
        }
    })
    .await;
}
