//! Stopped before any operation of the disk, with any outcome of what was not flushed, a storage comes back with everything
//! it acknowledged.

use proptest::prelude::*;

use super::{
    script::{Held, Step, eventful, open, run},
    *,
};
use crate::storage::sim::{SimDisk, Survives};

/// The outcomes that are tried for so many unflushed operations.
fn outcomes(pending: usize) -> Vec<Survives> {
    let mut outcomes = vec![Survives::Nothing, Survives::Everything];
    outcomes.extend((1..pending).map(Survives::First));
    outcomes.extend((0..pending).map(Survives::AllBut));
    if pending > 0 {
        outcomes.extend([1, 23, 512, 700, 1024, 4096].map(Survives::LastTorn));
        outcomes.extend((1..=6).map(Survives::AnySectors));
    }
    outcomes
}

/// Recovers, checks what is found, and that finding it again gives the same.
fn check(disk: &SimDisk, possible: &[Held], context: &str) -> Held {
    let storage = open(disk).unwrap_or_else(|error| panic!("{context}: does not open: {error}"));
    let found = Held::of(&storage);
    assert!(possible.contains(&found), "{context}: found {found:#?}, possible is {possible:#?}");
    disk.stop();
    drop(storage);

    let lost = disk.after_power_loss(Survives::Nothing);
    let again = open(&lost).unwrap_or_else(|error| panic!("{context}: does not open again: {error}"));
    assert_eq!(Held::of(&again), found, "{context}: found something else the second time");
    let next = found.records.last().map(|(index, ..)| *index).or(found.purged.map(|purged| purged.index));
    let next = next.map_or(0, |last| last + 1);
    durable(|done| again.log().append(vec![record(next, 99, "more")], done))
        .unwrap_or_else(|error| panic!("{context}: takes nothing more: {error}"));
    lost.stop();
    drop(again);
    let third = open(&lost.after_power_loss(Survives::Nothing)).expect("opens");
    assert_eq!(payloads(third.log()).last(), Some(&(next, 99, Bytes::from("more"))), "{context}");
    found
}

fn crash_everywhere(steps: &[Step], outcomes_of: impl Fn(usize) -> Vec<Survives>) -> usize {
    let rehearsal = SimDisk::default();
    let whole = run(&rehearsal, steps);
    assert!(whole.error.is_none(), "{:?}", whole.error);
    drop(whole);
    let mut states = 0;
    for operation in 0..=rehearsal.operations() {
        let disk = SimDisk::default();
        disk.stop_before(operation);
        let cut = run(&disk, steps);
        for survives in outcomes_of(disk.pending()) {
            let context = format!("stopped before operation {operation}, {survives:?} survived");
            check(&disk.after_power_loss(survives), &cut.possible, &context);
            states += 1;
        }
        check(&disk.after_process_death(), &cut.possible, &format!("killed before operation {operation}"));
    }
    states
}

#[test]
fn everything_acknowledged_survives_a_power_loss_at_every_operation() {
    let states = crash_everywhere(&eventful(), outcomes);

    assert!(states > 1000, "only {states} states were tried");
}

#[test]
fn a_power_loss_during_recovery_loses_nothing_and_changes_nothing() {
    let steps = eventful();
    let rehearsal = SimDisk::default();
    drop(run(&rehearsal, &steps));
    let mut states = 0;
    for operation in 0..rehearsal.operations() {
        let disk = SimDisk::default();
        disk.stop_before(operation);
        let cut = run(&disk, &steps);
        for survives in [Survives::Nothing, Survives::Everything, Survives::LastTorn(600), Survives::AnySectors(3)] {
            let crashed = disk.after_power_loss(survives);
            let rehearsed = crashed.after_power_loss(Survives::Nothing);
            let found = Held::of(&open(&rehearsed).expect("recovers"));
            let recovery = rehearsed.operations();
            for inner in 0..recovery {
                let second = crashed.after_power_loss(Survives::Nothing);
                second.stop_before(inner);
                drop(open(&second));
                for survives in [Survives::Nothing, Survives::Everything, Survives::AnySectors(inner)] {
                    let context =
                        format!("stopped before {operation}, then before {inner} of the recovery, {survives:?}");
                    let storage = open(&second.after_power_loss(survives))
                        .unwrap_or_else(|error| panic!("{context}: does not open: {error}"));
                    assert_eq!(Held::of(&storage), found, "{context}");
                    states += 1;
                }
            }
        }
        assert!(cut.possible.contains(&cut.acknowledged));
    }
    assert!(states > 1000, "only {states} states were tried");
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1..8u64, 0..1200usize, 1..9u64).prop_map(|(count, bytes, term)| Step::Append { count, bytes, term }),
        1 => (1..9u64).prop_map(Step::Vote),
        2 => (0..6u64).prop_map(Step::Truncate),
        1 => (0..4u64).prop_map(|but| Step::Snapshot { but }),
        1 => Just(Step::Purge),
        1 => Just(Step::Commit),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_runs_survive_a_power_loss_at_random_operations(
        steps in prop::collection::vec(any_step(), 1..30),
        points in prop::collection::vec((any::<u16>(), any::<u64>()), 12),
    ) {
        let rehearsal = SimDisk::default();
        let whole = run(&rehearsal, &steps);
        prop_assert!(whole.error.is_none(), "{:?}", whole.error);
        for (point, seed) in points {
            let disk = SimDisk::default();
            disk.stop_before(u64::from(point) % (rehearsal.operations() + 1));
            let cut = run(&disk, &steps);
            let survives = outcomes(disk.pending());
            let survives = survives.into_iter().chain([Survives::AnySectors(seed)]);
            let all: Vec<Survives> = survives.collect();
            let survives = all[(seed % all.len() as u64) as usize];
            check(&disk.after_power_loss(survives), &cut.possible, &format!("{point} {survives:?}"));
        }
    }
}
