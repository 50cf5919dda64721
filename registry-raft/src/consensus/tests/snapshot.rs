//! Snapshots: made by policy, sent to members that are behind.

use std::sync::Arc;

use openraft::RaftSnapshotBuilder;
use openraft::storage::RaftStateMachine;

use super::cluster::{Cluster, Observed, within};
use crate::consensus::CompactionPolicy;
use crate::consensus::apply::StateMachineAdapter;
use crate::consensus::view::Published;
use crate::proto::{Batch, Command, Proposal, Put, command};
use crate::state_machine::StateMachine;
use crate::storage::sim::SimDisk;
use crate::storage::{Identity, Opening, Storage, StorageOptions};

/// Keys with values of 64 KiB.
fn large(keys: u64) -> Batch {
    let proposal = |number| {
        let put = Put { key: format!("/{number}"), value: vec![7; 64 << 10].into(), ..Put::default() };
        Proposal { command: Some(Command { command: Some(command::Command::Put(put)) }), ..Proposal::default() }
    };
    Batch { proposals: (0..keys).map(proposal).collect() }
}

/// Without pauses, time stands still on the clock of a paused runtime.
#[tokio::test(start_paused = true)]
async fn a_snapshot_goes_to_the_disk_in_pieces_with_pauses_between_them() {
    let disk = SimDisk::default();
    let (identity, opening) = (Identity { cluster: 1, node: 1 }, Opening::CreateOrOpen);
    let options = StorageOptions { segment_bytes: 64 << 10, allocation_bytes: 16 << 10, ..StorageOptions::default() };
    let storage = Storage::open_on(Arc::new(disk.clone()), identity, opening, options).unwrap();
    let published = Arc::new(Published::new());
    published.change(1, |state| state.apply(&large(100))).unwrap();
    let snapshots = storage.snapshots().clone();
    let mut machine = StateMachineAdapter::load(snapshots, published.clone(), Arc::new(Observed::default())).unwrap();
    let mut builder = machine.get_snapshot_builder().await;
    let (begun, paused) = (std::time::Instant::now(), tokio::time::Instant::now());

    builder.build_snapshot().await.unwrap();

    assert!(paused.elapsed() > begun.elapsed(), "{:?} of pauses in {:?}", paused.elapsed(), begun.elapsed());
    assert!(disk.unflushed_most() < 1 << 20, "{} bytes were flushed at once", disk.unflushed_most());
    let written = storage.snapshots().read_latest().unwrap().unwrap().read_all().unwrap();
    let read = StateMachine::decode_snapshot(&written).unwrap();
    assert!(written.len() > 100 * (64 << 10) && read.revision() == published.view().state.revision());
}

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
