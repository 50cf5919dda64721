//! openraft's own suite for storage, on ours.

use std::sync::Arc;

use openraft::testing::log::{StoreBuilder, Suite};

use super::cluster::Observed;
use crate::consensus::apply::StateMachineAdapter;
use crate::consensus::compaction::AppendMeter;
use crate::consensus::log_store::LogStore;
use crate::consensus::types::Raft;
use crate::consensus::view::Published;
use crate::storage::{FirstIndex, Identity, Opening, Storage, StorageOptions};

type StorageError = openraft::StorageError<Raft>;

fn parts(storage: &Storage) -> (LogStore, StateMachineAdapter) {
    let log = LogStore::new(storage.log().clone(), Arc::new(AppendMeter::default()));
    let published = Arc::new(Published::new());
    let machine =
        StateMachineAdapter::load(storage.snapshots().clone(), published, Arc::new(Observed::default())).unwrap();
    (log, machine)
}

struct InMemory;

impl StoreBuilder<Raft, LogStore, StateMachineAdapter> for InMemory {
    async fn build(&self) -> Result<((), LogStore, StateMachineAdapter), StorageError> {
        let (log, machine) = parts(&Storage::memory().unwrap());
        Ok(((), log, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_in_memory_passes_the_suite_of_openraft() {
    Suite::test_all(InMemory).await.unwrap();
}

struct OnDisk;

impl StoreBuilder<Raft, LogStore, StateMachineAdapter, tempfile::TempDir> for OnDisk {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, StateMachineAdapter), StorageError> {
        let directory = tempfile::tempdir().unwrap();
        let options = StorageOptions {
            segment_bytes: 64 << 10,
            allocation_bytes: 16 << 10,
            // The suite starts logs in the middle.
            first_index: FirstIndex::Any,
            ..StorageOptions::default()
        };
        let identity = Identity { cluster: 1, node: 1 };
        let storage = Storage::open(&directory.path().join("data"), identity, Opening::CreateOrOpen, options).unwrap();
        let (log, machine) = parts(&storage);
        Ok((directory, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_on_disk_passes_the_suite_of_openraft() {
    Suite::test_all(OnDisk).await.unwrap();
}
