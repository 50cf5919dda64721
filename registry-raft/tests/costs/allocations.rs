//! What operations allocate: counted, so the same on every machine. A copy more shows here before a clock sees it.

use alloc_tracker::Session;
use registry_raft::micro::{
    Append, AppendCodec, Apply, ApplyLocks, ApplyOfClient, Audience, BatchCodec, FanOut, Get, Place, Scenario,
};

use crate::{LARGE, SMALL};

/// Rounds before it is counted: buffers have grown, and what the state shares with the one it came from is its own.
const WARM_UP: usize = 3;
/// Rounds that are counted together.
const COUNTED: u64 = 10;

/// The allocations and the bytes of one operation, rounded up.
fn allocated(mut scenario: impl Scenario) -> (u64, u64) {
    for _ in 0..WARM_UP {
        scenario.prepare().unwrap();
        scenario.run().unwrap();
    }
    let session = Session::new().no_stdout().no_file();
    let operation = session.operation("operation");
    for _ in 0..COUNTED {
        scenario.prepare().unwrap();
        let span = operation.measure_thread().iterations(scenario.operations());
        scenario.run().unwrap();
        drop(span);
    }
    let report = session.to_report();
    let (_name, counted) = report.operations().next().unwrap();
    let operations = counted.total_iterations();
    let each = |total: u64| total.div_ceil(operations);
    (each(counted.total_allocations_count()), each(counted.total_bytes_allocated()))
}

/// The most that an operation may allocate.
#[derive(Default)]
struct Bounds(Vec<String>);

impl Bounds {
    fn check(&mut self, what: &str, scenario: impl Scenario, most: (u64, u64)) {
        let (count, bytes) = allocated(scenario);
        println!("{what}: {count} allocations, {bytes} bytes (at most {}, {})", most.0, most.1);
        if count > most.0 || bytes > most.1 {
            self.0.push(format!("{what}: {count} allocations of {bytes} bytes, at most {} of {}", most.0, most.1));
        }
    }

    /// All of them at once: who means to change one sees what it changed.
    fn hold(self) {
        assert!(self.0.is_empty(), "more is allocated than before:\n{}", self.0.join("\n"));
    }
}

#[test]
fn an_operation_of_the_state_machine_allocates_no_more_than_it_needs() {
    let mut bounds = Bounds::default();
    for (size, state) in [("1 000 keys", &*SMALL), ("100 000 keys", &*LARGE)] {
        let what = |operation: &str| format!("{operation}, {size}");
        bounds.check(&what("put"), Apply::put(state, 1), (9, 1_700));
        bounds.check(&what("put in a batch of 64"), Apply::put(state, 64), (7, 1_350));
        bounds.check(&what("put of a new key"), Apply::create(state), (10, 1_800));
        bounds.check(&what("delete"), Apply::delete(state), (11, 1_500));
        bounds.check(&what("put of an ephemeral key"), Apply::put_ephemeral(state), (10, 1_800));
        bounds.check(&what("transaction"), Apply::commit(state).unwrap(), (26, 7_000));
        bounds.check(&what("lock and release"), ApplyLocks::new(state), (12, 1_900));
        bounds.check(&what("get"), Get::new(state).unwrap(), (0, 0));
        bounds.check(&what("put by a client"), ApplyOfClient::put(state, 64).unwrap(), (10, 1_850));
    }
    bounds.hold();
}

#[test]
fn what_is_sent_and_stored_is_copied_no_more_often_than_it_must() {
    let mut bounds = Bounds::default();
    bounds.check("batch of 64 puts encoded and decoded", BatchCodec::new(64), (75, 46_000));
    bounds.check("append of 16 entries decoded and encoded", AppendCodec::new(16), (24, 8_500));
    bounds.check("16 records to the log", Append::new(Place::Memory, 16, 0).unwrap(), (14, 15_500));
    let to = |subscribers| FanOut::new(Audience { subscribers, others: 100 }).unwrap();
    bounds.check("event to 1 subscriber", to(1), (8, 900));
    bounds.check("event to 100 subscribers", to(100), (210, 7_500));
    bounds.hold();
}
