//! What callers see of a storage that nothing goes wrong with.

use super::*;
use crate::storage::{LogIo as _, LogState, MemoryDir, SnapshotMeta, StorageError};

fn open_real(path: &std::path::Path, writer: Writer) -> Storage {
    Storage::open(path, IDENTITY, Opening::CreateOrOpen, StorageOptions { writer, ..small() }).expect("opens")
}

#[test]
fn a_fresh_log_is_empty() {
    let storage = Storage::memory().expect("opens");

    assert_eq!(storage.log().state(), LogState { purged: None, first: 0, last: None });
    assert_eq!(storage.log().vote(), None);
    assert_eq!(storage.snapshots().latest(), None);
}

#[test]
fn records_votes_and_commits_survive_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data");
    let vote = Vote { term: 3, node: 7, committed: true };
    let storage = open_real(&path, Writer::Thread);
    for index in 0..100 {
        durable(|done| storage.log().append(vec![record(index, 3, vec![index as u8; 300])], done)).expect("appended");
    }
    storage.log().save_committed(Some(at(42, 3))).expect("remembered");
    durable(|done| storage.log().save_vote(vote, done)).expect("saved");
    let before = payloads(storage.log());
    drop(storage);

    let storage = open_real(&path, Writer::Thread);

    assert_eq!(before.len(), 100);
    assert_eq!(payloads(storage.log()), before);
    assert_eq!(storage.log().vote(), Some(vote));
    assert_eq!(storage.log().committed(), Some(at(42, 3)));
}

#[test]
fn truncated_records_are_gone_and_written_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data");
    let storage = open_real(&path, Writer::Inline);
    let log = storage.log();
    durable(|done| log.append((0..60).map(|index| record(index, 1, vec![1; 200])).collect(), done)).expect("appended");
    durable(|done| log.truncate_after(Some(at(9, 1)), done)).expect("truncated");
    durable(|done| log.append(vec![record(10, 2, "anew")], done)).expect("appended");
    let before = payloads(log);
    drop(storage);

    let storage = open_real(&path, Writer::Inline);

    assert_eq!(before.len(), 11);
    assert_eq!(before.last(), Some(&(10, 2, Bytes::from("anew"))));
    assert_eq!(payloads(storage.log()), before);
    assert_eq!(storage.log().state().last, Some(at(10, 2)));
}

#[test]
fn purged_segments_are_written_again_and_their_records_do_not_come_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data");
    let storage = open_real(&path, Writer::Inline);
    for round in 0..20u64 {
        let first = round * 30;
        let records = (first..first + 30).map(|index| record(index, round, vec![round as u8; 250])).collect();
        durable(|done| storage.log().append(records, done)).expect("appended");
        let last = at(first + 24, round);
        snapshot(&storage, last, b"state");
        durable(|done| storage.log().purge_to(last, done)).expect("purged");
    }
    let before = payloads(storage.log());
    drop(storage);
    let files = std::fs::read_dir(&path).expect("listed").count();

    let storage = open_real(&path, Writer::Inline);

    assert_eq!(before.iter().map(|(index, ..)| *index).collect::<Vec<_>>(), [595, 596, 597, 598, 599]);
    assert_eq!(payloads(storage.log()), before);
    assert!(files <= 6, "{files} files: purged segments must be given up or written again");
}

#[test]
fn a_purge_beyond_the_end_moves_the_log_forward() {
    let storage = Storage::memory().expect("opens");
    let log = storage.log();
    durable(|done| log.append(vec![record(0, 1, "a")], done)).expect("appended");

    durable(|done| log.purge_to(at(100, 5), done)).expect("purged");

    assert_eq!(log.state(), LogState { purged: Some(at(100, 5)), first: 101, last: Some(at(100, 5)) });
    durable(|done| log.append(vec![record(101, 5, "b")], done)).expect("appended");
    assert_eq!(payloads(log), [(101, 5, Bytes::from("b"))]);
}

#[test]
fn records_that_do_not_follow_are_refused_without_effect() {
    let storage = Storage::memory().expect("opens");
    let log = storage.log();
    durable(|done| log.append(vec![record(0, 1, "a")], done)).expect("appended");

    let refused = durable(|done| log.append(vec![record(1, 1, "b"), record(3, 1, "c")], done));

    assert!(matches!(refused, Err(StorageError::NotContiguous { expected: 2, got: 3 })), "{refused:?}");
    assert_eq!(payloads(log).len(), 1);
}

#[test]
fn a_record_larger_than_a_segment_is_refused_without_effect() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = open_real(&directory.path().join("data"), Writer::Inline);

    let refused = durable(|done| storage.log().append(vec![record(0, 1, vec![0; 8 << 10])], done));

    assert!(matches!(refused, Err(StorageError::TooLarge { .. })), "{refused:?}");
    durable(|done| storage.log().append(vec![record(0, 1, vec![0; 4000])], done)).expect("one that fits is taken");
}

#[test]
fn reads_outside_of_the_log_are_refused() {
    let storage = Storage::memory().expect("opens");
    durable(|done| storage.log().append(vec![record(0, 1, "a")], done)).expect("appended");

    let absent = storage.log().read(0..2, usize::MAX);

    assert!(matches!(absent, Err(StorageError::Absent { from: 0, to: 2, first: 0, next: 1 })), "{absent:?}");
}

#[test]
fn a_read_stops_at_its_limit_but_returns_at_least_one_record() {
    let storage = Storage::memory().expect("opens");
    let records = (0..10).map(|index| record(index, 1, vec![0; 100])).collect();
    durable(|done| storage.log().append(records, done)).expect("appended");

    assert_eq!(storage.log().read(0..10, 350).expect("read").len(), 3);
    assert_eq!(storage.log().read(4..10, 1).expect("read").len(), 1);
}

#[test]
fn records_are_readable_before_they_are_durable() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = open_real(&directory.path().join("data"), Writer::Thread);
    let mut outcomes = Vec::new();

    for index in 0..200 {
        let (done, receiver) = outcome();
        storage.log().append(vec![record(index, 1, vec![index as u8; 50])], done).expect("accepted");
        let read = storage.log().read(0..index + 1, usize::MAX).expect("readable at once");
        assert_eq!(read.len() as u64, index + 1);
        outcomes.push(receiver);
    }

    for receiver in outcomes {
        receiver.recv_timeout(std::time::Duration::from_secs(30)).expect("called").expect("durable");
    }
}

#[test]
fn nothing_is_taken_after_closing() {
    let storage = Storage::memory().expect("opens");
    storage.close().expect("closed");

    let refused = durable(|done| storage.log().append(vec![record(0, 1, "a")], done));

    assert!(matches!(refused, Err(StorageError::Closed)), "{refused:?}");
}

#[test]
fn the_newest_snapshot_survives_a_restart_and_the_older_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data");
    let storage = open_real(&path, Writer::Inline);
    snapshot(&storage, at(5, 1), b"old");
    let newest = snapshot(&storage, at(9, 2), &vec![7; 3 << 20]);
    let late = snapshot(&storage, at(7, 1), b"late");
    drop(storage);

    let storage = open_real(&path, Writer::Inline);
    let mut reader = storage.snapshots().read_latest().expect("readable").expect("present");

    assert_eq!(late, newest, "an older snapshot does not replace a newer one");
    assert_eq!(reader.meta(), &newest);
    assert_eq!(reader.read_all().expect("whole"), vec![7; 3 << 20]);
    let names = std::fs::read_dir(&path).expect("listed").map(|entry| entry.expect("an entry").file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("snapshot")).count(), 1);
}

#[test]
fn a_dropped_snapshot_leaves_nothing() {
    let io = Arc::new(MemoryDir::default());
    let identity = Identity { cluster: 0, node: 0 };
    let storage =
        Storage::open_on(io.clone(), identity, Opening::CreateOrOpen, StorageOptions::default()).expect("opens");
    let meta = SnapshotMeta { last: Some(at(1, 1)), membership: Bytes::new(), id: "x".to_owned() };
    let mut writer = storage.snapshots().begin(meta).expect("begun");
    writer.write(b"half").expect("written");

    drop(writer);

    assert_eq!(storage.snapshots().latest(), None);
    assert!(io.list().expect("listed").iter().all(|name| !name.starts_with("snapshot")));
}
