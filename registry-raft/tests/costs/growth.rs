//! Operations do not get slower as there is more: more keys, sessions, subscriptions, records, or more that happened.
//!
//! No clock decides. Each operation is compared with itself where there is less, in the same rounds, and what is compared
//! is the CPU time that this thread used in its cheapest round: whatever else runs on the machine disturbs both, and only
//! some rounds. An operation that reads or copies everything costs tens of times more, and never comes below a bound.

use std::time::Duration;

use registry_raft::micro::{
    Append, Apply, ApplyLocks, ApplyOfClient, Audience, Broken, DecodeSnapshot, EncodeSnapshot, FanOut, Get, Place,
    Recover, Scenario, Size, State,
};
use rustix::time::{ClockId, clock_gettime};

use crate::{LARGE, SMALL};

/// So many rounds are measured at least, where rounds are short.
const ROUNDS_MIN: u32 = 20;
/// So much CPU time is measured at least, where rounds are long.
const MEASURED_MIN: Duration = Duration::from_millis(300);
/// After so much CPU time the ratio is what it is.
const MEASURED_MAX: Duration = Duration::from_secs(4);

/// How an operation with more is compared with the same one with less.
struct Growth<'a> {
    /// What the operation is.
    what: &'a str,
    /// How many times as much each of the first does as each of the second.
    work: f64,
    /// The most that it may cost, for each unit of work, of what it costs with less.
    at_most: f64,
}

impl Growth<'_> {
    fn check(&self, more: impl Scenario, less: impl Scenario) {
        let ratio = self.measure(more, less).unwrap();
        let Self { what, at_most, .. } = self;
        println!("{what}: {ratio:.2} (at most {at_most})");
        assert!(ratio <= *at_most, "{what}: costs {ratio:.2} times as much as with less, at most {at_most} is right");
    }

    /// Measures until the ratio is right, or certainly is not.
    fn measure(&self, mut more: impl Scenario, mut less: impl Scenario) -> Result<f64, Broken> {
        let (mut most, mut least) = (Duration::MAX, Duration::MAX);
        let (mut rounds, mut measured) = (0, Duration::ZERO);
        let each = |used: Duration, scenario: &dyn Scenario| used.as_secs_f64() / scenario.operations() as f64;
        loop {
            let used = (round(&mut more)?, round(&mut less)?);
            (most, least) = (most.min(used.0), least.min(used.1));
            (rounds, measured) = (rounds + 1, measured + used.0 + used.1);
            let ratio = each(most, &more) / self.work / each(least, &less);
            let enough = rounds >= ROUNDS_MIN || (measured >= MEASURED_MIN && rounds > 1);
            if measured >= MEASURED_MAX || (enough && ratio <= self.at_most) {
                return Ok(ratio);
            }
        }
    }
}

/// The CPU time of one round.
fn round(scenario: &mut impl Scenario) -> Result<Duration, Broken> {
    scenario.prepare()?;
    let before = cpu_time();
    scenario.run()?;
    Ok(cpu_time() - before)
}

/// What this thread has used.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

fn same(what: &str, at_most: f64) -> Growth<'_> {
    Growth { what, work: 1.0, at_most }
}

#[test]
fn no_operation_gets_slower_with_the_number_of_keys() {
    let (more, less) = (&*LARGE, &*SMALL);
    // A search among a hundred times as many keys compares with 1.7 times as many of them.
    let same = |what| same(what, 2.5);

    same("a put of a key").check(Apply::put(more, 1), Apply::put(less, 1));
    same("a put of a new key").check(Apply::create(more), Apply::create(less));
    same("a delete").check(Apply::delete(more), Apply::delete(less));
    same("a put of an ephemeral key").check(Apply::put_ephemeral(more), Apply::put_ephemeral(less));
    same("a transaction").check(Apply::commit(more).unwrap(), Apply::commit(less).unwrap());
    same("a lock").check(ApplyLocks::new(more), ApplyLocks::new(less));
    same("a get").check(Get::new(more).unwrap(), Get::new(less).unwrap());
}

#[test]
fn no_operation_gets_slower_with_the_number_of_sessions() {
    let less = &*SMALL;
    let more = &State::new(Size { keys: 1_000, sessions: 10_000 }).unwrap();

    same("a put", 1.8).check(Apply::put(more, 1), Apply::put(less, 1));
    same("a put of an ephemeral key", 1.8).check(Apply::put_ephemeral(more), Apply::put_ephemeral(less));
    same("a lock", 1.8).check(ApplyLocks::new(more), ApplyLocks::new(less));
}

#[test]
fn a_put_does_not_get_slower_with_the_length_of_the_history() {
    let more = SMALL.after_puts(20_000).unwrap();

    same("a put after many", 1.8).check(Apply::put(&more, 1), Apply::put(&SMALL, 1));
}

#[test]
fn a_put_does_not_get_slower_with_the_number_of_answers_that_its_client_has_not_heard() {
    let put = |unanswered| ApplyOfClient::put(&SMALL, unanswered).unwrap();

    same("a put among many unanswered", 1.8).check(put(4_000), put(64));
}

#[test]
fn a_put_in_a_batch_costs_no_more_than_one_alone() {
    same("a put in a batch", 1.25).check(Apply::put(&SMALL, 64), Apply::put(&SMALL, 1));
}

#[test]
fn a_snapshot_costs_the_same_for_each_key_however_many_there_are() {
    let more = &State::new(Size { keys: 8_000, sessions: 10 }).unwrap();
    let growth = |what| Growth { what, work: 8.0, at_most: 1.6 };

    growth("a snapshot is written").check(EncodeSnapshot::new(more), EncodeSnapshot::new(&SMALL));
    growth("a snapshot is read").check(DecodeSnapshot::new(more), DecodeSnapshot::new(&SMALL));
}

#[test]
fn an_event_costs_the_same_for_each_subscriber_however_many_there_are() {
    let to = |subscribers| FanOut::new(Audience { subscribers, others: 0 }).unwrap();

    Growth { what: "an event to many", work: 100.0, at_most: 1.6 }.check(to(1_000), to(10));
}

#[test]
fn an_event_does_not_cost_what_others_subscribe_to() {
    let among = |others| FanOut::new(Audience { subscribers: 1, others }).unwrap();

    same("an event among many subscriptions", 1.6).check(among(3_000), among(0));
}

#[test]
fn appending_does_not_get_slower_with_the_length_of_the_log() {
    let append = |length| Append::new(Place::Memory, 1, length).unwrap();

    same("an append to a long log", 1.8).check(append(20_000), append(0));
}

#[test]
fn recovery_costs_the_same_for_each_record_however_many_there_are() {
    let recover = |records| Recover::new(Place::Memory, records).unwrap();

    Growth { what: "a log is recovered", work: 8.0, at_most: 1.6 }.check(recover(8_000), recover(1_000));
}
