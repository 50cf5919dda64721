//! Tests of client identities: each command is applied once.

use registry_api::PutOptions;

use super::bench::{Bench, SMALL, acquire, bytes_of, decode, open, proposal, put, register};
use crate::proto::command::Command;
use crate::proto::{self, Failure, Outcome, Proposal, Refusal, outcome};
use crate::state_machine::limits::{LIMITS, Limits};
use crate::state_machine::{Change, StateMachine};

fn by(client: u64, sequence: u64, answered_below: u64, command: Command) -> Proposal {
    Proposal { client, sequence, answered_below, ..proposal(command) }
}

fn create(text: &str) -> Command {
    put(text, b"", &PutOptions::default().when(registry_api::Precondition::Absent))
}

fn refusal(outcome: Outcome) -> Refusal {
    match outcome.outcome.unwrap() {
        outcome::Outcome::Refused(refusal) => refusal,
        outcome => panic!("not refused: {outcome:?}"),
    }
}

#[test]
fn a_command_sent_twice_is_applied_once_with_one_outcome() {
    let mut bench = Bench::new();
    let client = bench.register(b"n");
    let command = by(client, 1, 1, create("/a"));
    let (first, changes) = bench.send(command.clone());
    assert_eq!(changes.len(), 1);
    bench.put("/between", "");
    let (second, changes) = bench.send(command);
    assert_eq!((first, changes), (second, vec![]));
}

#[test]
fn a_refusal_is_remembered_like_any_outcome() {
    let mut bench = Bench::new();
    let client = bench.register(b"n");
    bench.put("/a", "");
    let command = by(client, 1, 1, create("/a"));
    let (first, _) = bench.send(command.clone());
    bench.delete(&registry_api::Scope::All);
    let (second, _) = bench.send(command);
    assert_eq!(first, second);
    assert_eq!(bench.entry("/a"), None);
}

#[test]
fn an_outcome_that_was_forgotten_stays_forgotten_after_a_snapshot() {
    let mut bench = Bench::new();
    let client = bench.register(b"n");
    bench.send(by(client, 1, 1, create("/a")));
    bench.send(by(client, 2, 2, create("/b")));
    bench.delete(&registry_api::Scope::All);
    bench.machine = decode(&bytes_of(&bench.machine), &LIMITS);
    let (outcome, changes) = bench.send(by(client, 1, 1, create("/a")));
    let refused = refusal(outcome);
    assert_eq!((refused.failure(), refused.effect_unknown, changes), (Failure::ClientEnded, true, vec![]));
    assert_eq!(bench.entry("/a"), None);
}

#[test]
fn a_command_sent_again_after_a_snapshot_is_applied_once() {
    let mut bench = Bench::new();
    let client = bench.register(b"n");
    let command = by(client, 1, 1, open(1_000));
    let (first, _) = bench.send(command.clone());
    bench.machine = decode(&bytes_of(&bench.machine), &LIMITS);
    let (second, _) = bench.send(command);
    assert_eq!(first, second);
    assert_eq!(bench.machine.session_count(), 1);
}

#[test]
fn commands_may_come_out_of_order() {
    let mut bench = Bench::new();
    let client = bench.register(b"n");
    for sequence in [3, 1, 2, 1, 3] {
        bench.send(by(client, sequence, 1, open(1_000)));
    }
    assert_eq!(bench.machine.session_count(), 3);
}

#[test]
fn registering_a_nonce_again_gives_the_same_identity() {
    let mut bench = Bench::new();
    let first = bench.register(b"n");
    let before = bench.machine.revision();
    assert_eq!(bench.register(b"n"), first);
    assert_eq!(bench.machine.revision(), before);
    assert_ne!(bench.register(b"m"), first);
}

#[test]
fn a_command_of_an_unknown_identity_is_refused_with_unknown_effect() {
    let mut bench = Bench::new();
    let (outcome, _) = bench.send(by(5, 1, 1, create("/a")));
    let refusal = refusal(outcome);
    assert_eq!((refusal.failure(), refusal.effect_unknown), (Failure::ClientEnded, true));
    assert_eq!(bench.entry("/a"), None);
}

#[test]
fn an_identity_that_ended_remembers_nothing_and_applies_nothing() {
    let mut bench = Bench::new();
    let client = bench.register(b"n");
    bench.send(by(client, 1, 1, create("/a")));
    let (_, changes) = bench.run(Command::EndClient(proto::EndClient { client }));
    assert_eq!(changes, [Change::ClientEnded { id: client }]);
    let (outcome, _) = bench.send(by(client, 1, 1, create("/a")));
    assert_eq!(refusal(outcome).failure(), Failure::ClientEnded);
    assert_ne!(bench.register(b"n"), client);
}

#[test]
fn an_identity_can_end_itself() {
    let mut bench = Bench::new();
    let client = bench.register(b"n");
    let (outcome, _) = bench.send(by(client, 1, 1, Command::EndClient(proto::EndClient { client })));
    assert_eq!(outcome.outcome, Some(outcome::Outcome::Done(true)));
    assert_eq!(bench.machine.clients().count(), 0);
    assert_eq!(bench.machine.clients.bytes(), 0);
}

#[test]
fn an_answered_command_is_forgotten_and_a_late_copy_changes_nothing() {
    let mut bench = Bench::new();
    let client = bench.register(b"n");
    bench.send(by(client, 1, 1, create("/a")));
    bench.send(by(client, 2, 2, create("/b")));
    bench.delete(&registry_api::Scope::All);
    let (outcome, changes) = bench.send(by(client, 1, 1, create("/a")));
    let refusal = refusal(outcome);
    assert_eq!((refusal.failure(), refusal.effect_unknown), (Failure::ClientEnded, true));
    assert_eq!(changes, []);
    assert_eq!(bench.entry("/a"), None);
}

#[test]
fn a_command_that_calls_itself_answered_is_applied_all_the_same() {
    let mut bench = Bench::new();
    let client = bench.register(b"n");
    let command = by(client, 3, u64::MAX, open(1_000));
    let (first, _) = bench.send(command.clone());
    assert_eq!(bench.send(command).0, first);
    assert_eq!(bench.machine.session_count(), 1);
}

#[test]
fn commands_beyond_the_window_are_refused() {
    let mut bench = Bench::small();
    let client = bench.register(b"n");
    let (outcome, _) = bench.send(by(client, SMALL.window - 1, 0, create("/a")));
    assert_eq!(outcome.outcome, Some(outcome::Outcome::Done(true)));
    let (outcome, _) = bench.send(by(client, SMALL.window, 0, create("/b")));
    let refusal = refusal(outcome);
    assert_eq!((refusal.failure(), refusal.effect_unknown), (Failure::LimitExceeded, true));
    bench.send(by(client, SMALL.window, 1, create("/b")));
    assert!(bench.entry("/b").is_some());
}

#[test]
fn the_least_recently_used_identity_makes_room_for_a_new_one() {
    let mut bench = Bench::small();
    let clients: Vec<u64> = (0..4u8).map(|nonce| bench.register(&[nonce])).collect();
    bench.send(by(clients[0], 1, 1, create("/a")));
    bench.register(&[1]);
    let (_, changes) = bench.run(register(b"new"));
    assert_eq!(changes[0], Change::ClientEnded { id: clients[2] });
    assert_eq!(bench.machine.clients().count(), 4);
    let (_, changes) = bench.run(register(b"newer"));
    assert_eq!(changes[0], Change::ClientEnded { id: clients[3] });
}

static TIGHT: Limits = Limits { outcome_bytes_per_client: 1_000, outcome_bytes: 1_500, ..LIMITS };

#[test]
fn remembered_outcomes_are_bounded_in_bytes() {
    let mut bench = Bench { machine: StateMachine::with_limits(&TIGHT) };
    let (first, second) = (bench.register(b"1"), bench.register(b"2"));
    for sequence in 1..=10 {
        bench.send(by(first, sequence, 1, open(1_000)));
        assert!(bench.machine.clients.bytes() <= 1_000);
    }
    let (outcome, _) = bench.send(by(first, 1, 1, open(1_000)));
    assert!(refusal(outcome).effect_unknown);
    assert_eq!(bench.machine.session_count(), 10);
    let mut ended = Vec::new();
    for sequence in 1..=10 {
        ended.extend(bench.send(by(second, sequence, 1, open(1_000))).1);
        assert!(bench.machine.clients.bytes() <= 1_500);
    }
    assert!(ended.contains(&Change::ClientEnded { id: first }));
    assert_eq!(bench.machine.clients().collect::<Vec<_>>(), [second]);
}

#[test]
fn a_long_or_empty_nonce_is_refused() {
    let mut bench = Bench::new();
    assert_eq!(bench.failure(register(&[0; 65])), Failure::InvalidArgument);
    assert_eq!(bench.failure(register(&[])), Failure::InvalidArgument);
}

#[test]
fn a_lock_request_made_again_under_another_identity_is_the_same_request() {
    let mut bench = Bench::new();
    let (first, second) = (bench.register(b"1"), bench.register(b"2"));
    let session = bench.open();
    let (granted, _) = bench.send(by(first, 1, 1, acquire("/l", session, 9)));
    let (again, changes) = bench.send(by(second, 1, 1, acquire("/l", session, 9)));
    assert_eq!((granted.outcome, changes), (again.outcome, vec![]));
}

#[test]
fn commands_without_identity_are_applied_each_time() {
    let mut bench = Bench::new();
    bench.send(by(0, 1, 1, open(1_000)));
    bench.send(by(0, 1, 1, open(1_000)));
    assert_eq!(bench.machine.session_count(), 2);
}
