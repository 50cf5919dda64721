//! A disk that fails once stops the log for good, and nothing is acknowledged after it.

use std::io::ErrorKind;

use super::{
    script::{Held, Run, eventful, open, run},
    *,
};
use crate::storage::{
    StorageError,
    sim::{Fault, SimDisk, Survives},
};

/// Runs the script once per operation of the disk, with this fault there.
fn with_fault_everywhere(fault: Fault, mut check: impl FnMut(u64, &SimDisk, Run)) {
    let steps = eventful();
    let rehearsal = SimDisk::default();
    let whole = run(&rehearsal, &steps);
    let operations = rehearsal.operations();
    drop(whole);
    assert!(operations > 100);
    for operation in 0..operations {
        let disk = SimDisk::default();
        disk.fail_at(operation, fault);
        let result = run(&disk, &steps);
        check(operation, &disk, result);
    }
}

fn assert_takes_nothing_more(operation: u64, storage: &Storage) {
    let next = storage.log().state().last.map_or(0, |last| last.index + 1);
    let vote = durable(|done| storage.log().save_vote(Vote { term: 100, node: 1, committed: false }, done));
    let append = durable(|done| storage.log().append(vec![record(next, 100, "late")], done));
    assert!(vote.is_err() && append.is_err(), "operation {operation}: {vote:?} {append:?}");
    assert!(storage.log().read(0..1, 1).is_err(), "operation {operation}");
}

#[test]
fn after_a_failed_operation_the_log_acknowledges_nothing_and_restarts_with_everything_acknowledged() {
    with_fault_everywhere(Fault::Fails(ErrorKind::Other), |operation, disk, result| {
        let error = result.error.as_ref();
        assert!(error.is_some(), "operation {operation} failed and nobody was told");
        if let Some(storage) = result.storage.as_ref().filter(|storage| storage.log().failure().is_some()) {
            assert_takes_nothing_more(operation, storage);
        }
        disk.stop();

        let restarted = disk.after_process_death();
        let found = Held::of(&open(&restarted).unwrap_or_else(|error| panic!("operation {operation}: {error}")));
        assert!(result.possible.contains(&found), "operation {operation}: {found:#?} {:#?}", result.possible);
        restarted.stop();
        let lost = restarted.after_power_loss(Survives::Nothing);
        assert_eq!(
            Held::of(&open(&lost).expect("opens")),
            found,
            "operation {operation}: recovery relied on the cache"
        );
        let lost = disk.after_power_loss(Survives::Nothing);
        let found = Held::of(&open(&lost).expect("opens"));
        assert!(result.possible.contains(&found), "operation {operation}: {found:#?} {:#?}", result.possible);
    });
}

#[test]
fn a_full_disk_is_told_apart() {
    with_fault_everywhere(Fault::Fails(ErrorKind::StorageFull), |operation, _disk, result| {
        let error = result.error.map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|text| text.contains("no space left")), "operation {operation}: {error:?}");
    });
}

#[test]
fn a_short_write_is_continued() {
    let whole = run(&SimDisk::default(), &eventful());
    with_fault_everywhere(Fault::Short, |operation, _disk, result| {
        assert!(result.error.is_none(), "operation {operation}: {:?}", result.error);
        assert_eq!(result.acknowledged, whole.acknowledged);
        assert_eq!(Held::of(&result.storage.expect("open")), whole.acknowledged, "operation {operation}");
    });
}

#[test]
fn a_failed_flush_is_not_tried_again() {
    let disk = SimDisk::default();
    let storage = open(&disk).expect("opens");
    durable(|done| storage.log().append(vec![record(0, 1, "a")], done)).expect("appended");
    disk.fail_at(disk.operations() + 1, Fault::Fails(ErrorKind::Other));

    let failed = durable(|done| storage.log().append(vec![record(1, 1, "b")], done));
    let operations = disk.operations();
    let closed = storage.close();
    drop(storage);

    assert!(matches!(failed, Err(StorageError::Io { action: "flushing", .. })), "{failed:?}");
    assert!(matches!(closed, Err(StorageError::Stopped(_))), "{closed:?}");
    assert_eq!(disk.operations(), operations, "nothing is written or flushed after the failure");
}

#[test]
fn nothing_is_written_while_nothing_happens() {
    let disk = SimDisk::default();
    let storage = open(&disk).expect("opens");
    durable(|done| storage.log().append(vec![record(0, 1, "a")], done)).expect("appended");
    let operations = disk.operations();

    drop(storage.log().read(0..1, 10).expect("read"));
    storage.log().save_committed(Some(at(0, 1))).expect("remembered");

    assert_eq!(disk.operations(), operations);
}
