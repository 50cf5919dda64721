//! A leader whose disk hangs.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};

use super::cluster::{Cluster, identity, within};
use crate::storage::{self, LogFile, LogIo, Opening, Storage, StorageOptions};

/// A disk whose flushes can be made to hang.
#[derive(Debug, Default)]
struct Gate {
    hangs: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn hang(&self) {
        *self.hangs.lock().unwrap() = true;
    }

    fn resume(&self) {
        *self.hangs.lock().unwrap() = false;
        self.changed.notify_all();
    }

    fn pass(&self) {
        drop(self.changed.wait_while(self.hangs.lock().unwrap(), |hangs| *hangs).unwrap());
    }
}

#[derive(Debug)]
struct GatedDir {
    path: PathBuf,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct GatedFile {
    file: File,
    gate: Arc<Gate>,
}

impl GatedDir {
    fn file(&self, options: &mut OpenOptions, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let file = options.read(true).write(true).open(self.path.join(name))?;
        Ok(Arc::new(GatedFile { file, gate: self.gate.clone() }))
    }
}

impl LogIo for GatedDir {
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.file(OpenOptions::new().create_new(true), name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.file(&mut OpenOptions::new(), name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().into_string().unwrap())).collect()
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn release(&self) {}
}

impl LogFile for GatedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_hangs_lets_another_lead() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::prepare(3);
    let mut gates = Vec::new();
    for id in 1..=3 {
        let path = directory.path().join(id.to_string());
        fs::create_dir(&path).unwrap();
        let gate = Arc::new(Gate::default());
        gates.push(gate.clone());
        let stamp = storage::Identity { cluster: identity(id).cluster.to_u128(), node: id };
        let options = StorageOptions { segment_bytes: 1 << 20, ..StorageOptions::default() };
        let io = Arc::new(GatedDir { path, gate });
        let storage = Storage::open_on(io, stamp, Opening::CreateOrOpen, options).unwrap();
        cluster.start_member(id, storage).await;
    }
    let leader = cluster.leader().await;
    within(cluster.write(leader)).await.unwrap();
    let others = (1..=3).filter(|id| *id != leader).collect::<Vec<_>>();

    let gate = gates[usize::try_from(leader - 1).unwrap()].clone();
    gate.hang();
    let member = cluster.member(leader).clone();
    let batch = cluster.batch();
    let stuck = tokio::spawn(async move { member.propose(batch).await });
    let next = cluster.leader_among(&others).await;

    within(cluster.write(next)).await.unwrap();
    gate.resume();
    // Two of three disks took it, so it may have been acknowledged in time; it must not be lost then.
    let acknowledged = within(stuck).await.unwrap().is_ok();
    cluster.caught_up(leader, next).await;
    assert_eq!(cluster.clients_of(leader), cluster.clients_of(next));
    assert!(cluster.clients_of(next).len() >= 2 + usize::from(acknowledged));
}
