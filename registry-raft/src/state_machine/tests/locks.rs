//! Tests of locks.

use registry_api::{Precondition, PutOptions};

use super::bench::{Bench, abandon, acquire, bytes_of, decode, end, lock_name, put, release, when};
use crate::proto::command::Command;
use crate::proto::{self, Failure, outcome};
use crate::state_machine::limits::LIMITS;
use crate::state_machine::{Change, Place};

#[test]
fn a_lock_is_passed_on_in_the_order_of_the_requests() {
    let mut bench = Bench::new();
    let sessions: Vec<_> = (0..4).map(|_| bench.open()).collect();
    let mut grant = bench.lock("/l", sessions[0], 1);
    for (index, session) in sessions.iter().enumerate().skip(1) {
        assert_eq!(bench.queue("/l", *session, 1), index as u64);
    }
    for session in &sessions[1..] {
        let token = grant.token;
        let (_, changes) = bench.run(release(&grant));
        let [Change::LockGone { .. }, Change::LockGranted { grant: next, ticket: 1 }] = changes.as_slice() else {
            panic!("{changes:?}");
        };
        assert_eq!(next.session, *session);
        assert!(next.token > token);
        grant = next.clone();
    }
    bench.run(release(&grant));
    assert_eq!(bench.machine.lock(&lock_name("/l")).holder, None);
}

#[test]
fn the_token_is_the_revision_of_the_grant() {
    let mut bench = Bench::new();
    let session = bench.open();
    let grant = bench.lock("/l", session, 1);
    assert_eq!(grant.token.revision(), bench.machine.revision());
}

#[test]
fn tokens_grow_also_when_nothing_is_left_of_the_lock() {
    let mut bench = Bench::new();
    let session = bench.open();
    let first = bench.lock("/l", session, 1);
    bench.run(release(&first));
    bench.machine = decode(&bytes_of(&bench.machine), &LIMITS);
    assert!(bench.lock("/l", session, 2).token > first.token);
}

#[test]
fn a_lock_is_not_reentrant() {
    let mut bench = Bench::new();
    let session = bench.open();
    let grant = bench.lock("/l", session, 1);
    assert_eq!(bench.queue("/l", session, 2), 1);
    bench.run(release(&grant));
    assert!(matches!(bench.machine.grant_of(&lock_name("/l"), session, 2), Place::Granted(_)));
}

#[test]
fn the_same_ticket_is_the_same_request() {
    let mut bench = Bench::new();
    let (first, second) = (bench.open(), bench.open());
    let grant = bench.lock("/l", first, 7);
    assert_eq!(bench.lock("/l", first, 7), grant);
    assert_eq!(bench.queue("/l", second, 7), 1);
    assert_eq!(bench.queue("/l", second, 7), 1);
    assert_eq!(bench.machine.lock(&lock_name("/l")).waiters.len(), 1);
}

#[test]
fn releasing_twice_succeeds_and_takes_nothing_from_the_next_holder() {
    let mut bench = Bench::new();
    let (first, second) = (bench.open(), bench.open());
    let grant = bench.lock("/l", first, 1);
    bench.queue("/l", second, 1);
    bench.run(release(&grant));
    let before = bench.machine.revision();
    let (_, changes) = bench.run(release(&grant));
    assert_eq!(changes, []);
    assert_eq!(bench.machine.revision(), before);
    assert_eq!(bench.machine.lock(&lock_name("/l")).holder.unwrap().session, second);
}

#[test]
fn releasing_after_the_session_ended_says_that_the_lock_was_lost() {
    let mut bench = Bench::new();
    let session = bench.open();
    let grant = bench.lock("/l", session, 1);
    bench.run(end(session));
    assert_eq!(bench.failure(release(&grant)), Failure::LockLost);
}

#[test]
fn the_end_of_a_session_passes_its_locks_on_and_takes_it_out_of_every_queue() {
    let mut bench = Bench::new();
    let (first, second, third) = (bench.open(), bench.open(), bench.open());
    bench.lock("/l", first, 1);
    bench.lock("/m", second, 1);
    bench.queue("/l", first, 2);
    bench.queue("/l", second, 1);
    bench.queue("/l", third, 1);
    bench.queue("/m", first, 1);
    let (_, changes) = bench.run(end(first));
    let gone = |name, ticket| Change::LockGone { name: lock_name(name), session: first, ticket };
    assert_eq!(changes[..3], [gone("/l", 2), gone("/m", 1), gone("/l", 1)]);
    assert!(matches!(&changes[3], Change::LockGranted { grant, ticket: 1 } if grant.session == second));
    assert_eq!(changes[4..], [Change::SessionEnded { id: first }]);
    assert_eq!(bench.machine.grant_of(&lock_name("/m"), first, 1), Place::Gone);
    assert_eq!(bench.machine.lock(&lock_name("/m")).waiters.len(), 0);
}

#[test]
fn a_waiter_whose_session_ended_is_never_granted() {
    let mut bench = Bench::new();
    let (first, second, third) = (bench.open(), bench.open(), bench.open());
    let grant = bench.lock("/l", first, 1);
    bench.queue("/l", second, 1);
    bench.queue("/l", third, 1);
    bench.run(end(second));
    bench.run(release(&grant));
    assert_eq!(bench.machine.lock(&lock_name("/l")).holder.unwrap().session, third);
    assert_eq!(bench.failure(acquire("/l", second, 2)), Failure::SessionEnded);
}

#[test]
fn abandoning_leaves_the_queue_or_gives_the_lock_back() {
    let mut bench = Bench::new();
    let (first, second, third) = (bench.open(), bench.open(), bench.open());
    bench.lock("/l", first, 1);
    bench.queue("/l", second, 1);
    bench.queue("/l", third, 1);
    bench.run(abandon("/l", second, 1));
    assert_eq!(bench.machine.grant_of(&lock_name("/l"), second, 1), Place::Gone);
    bench.run(abandon("/l", first, 1));
    assert_eq!(bench.machine.lock(&lock_name("/l")).holder.unwrap().session, third);
    let (_, changes) = bench.run(abandon("/l", first, 1));
    assert_eq!(changes, []);
}

#[test]
fn a_request_given_up_takes_no_place_when_it_comes_late() {
    let mut bench = Bench::new();
    let session = bench.open();
    bench.run(abandon("/l", session, 7));
    bench.machine = decode(&bytes_of(&bench.machine), &LIMITS);
    assert_eq!(bench.failure(acquire("/l", session, 7)), Failure::LockTimeout);
    bench.lock("/m", session, 7);
    let grant = bench.lock("/l", session, 8);
    bench.queue("/l", session, 9);
    bench.run(abandon("/l", session, 9));
    assert_eq!(bench.failure(acquire("/l", session, 9)), Failure::LockTimeout);
    bench.run(release(&grant));
    assert_eq!(bench.machine.lock(&lock_name("/l")).holder, None);
}

#[test]
fn requests_given_up_are_remembered_up_to_a_limit() {
    let mut bench = Bench::small();
    let session = bench.open();
    for ticket in 1..=4 {
        bench.run(abandon("/l", session, ticket));
    }
    assert_eq!(bench.failure(acquire("/l", session, 2)), Failure::LockTimeout);
    bench.lock("/l", session, 1);
}

#[test]
fn a_request_that_does_not_wait_is_refused_and_leaves_nothing() {
    let mut bench = Bench::new();
    let (first, second) = (bench.open(), bench.open());
    bench.lock("/l", first, 1);
    let only_if_free = proto::Acquire { name: "/l".to_owned(), session: second.get(), only_if_free: true, ticket: 1 };
    assert_eq!(bench.failure(Command::Acquire(only_if_free)), Failure::LockTimeout);
    bench.run(abandon("/l", first, 1));
    assert_eq!(bench.machine.lock(&lock_name("/l")).holder, None);
}

#[test]
fn a_guarded_write_of_a_former_holder_is_refused() {
    let mut bench = Bench::new();
    let (first, second) = (bench.open(), bench.open());
    let grant = bench.lock("/l", first, 1);
    bench.queue("/l", second, 1);
    bench.run(put("/a", b"1", &when(Precondition::LockHeld(grant.clone()))));
    bench.run(release(&grant));
    assert_eq!(bench.failure(put("/a", b"2", &when(Precondition::LockHeld(grant)))), Failure::LockLost);
}

#[test]
fn a_lock_and_a_key_of_one_name_have_nothing_to_do_with_each_other() {
    let mut bench = Bench::new();
    let session = bench.open();
    bench.put_ephemeral("/x", session);
    bench.lock("/x", session, 1);
    bench.lock("/x/y", session, 1);
    bench.run(put("/x", b"", &PutOptions::ephemeral(session)));
}

#[test]
fn waiters_of_one_lock_and_locks_of_one_session_are_limited() {
    let mut bench = Bench::small();
    let sessions: Vec<_> = (0..4).map(|_| bench.open()).collect();
    bench.lock("/l", sessions[0], 1);
    bench.queue("/l", sessions[1], 1);
    bench.queue("/l", sessions[2], 1);
    assert_eq!(bench.failure(acquire("/l", sessions[3], 1)), Failure::LimitExceeded);
    for number in 1..4 {
        bench.lock(&format!("/m/{number}"), sessions[0], 1);
    }
    assert_eq!(bench.failure(acquire("/m/4", sessions[0], 1)), Failure::LimitExceeded);
    bench.run(abandon("/m/1", sessions[0], 1));
    bench.lock("/m/4", sessions[0], 1);
}

#[test]
fn a_thousand_waiters_and_one_release_is_one_grant() {
    let mut bench = Bench::new();
    let (first, second) = (bench.open(), bench.open());
    let grant = bench.lock("/l", first, 0);
    for ticket in 0..1_000 {
        bench.run(acquire("/l", second, ticket));
    }
    assert_eq!(bench.failure(acquire("/l", second, 1_000)), Failure::LimitExceeded);
    let (outcome, changes) = bench.run(release(&grant));
    assert_eq!(outcome, outcome::Outcome::Done(true));
    assert_eq!(changes.iter().filter(|change| matches!(change, Change::LockGranted { .. })).count(), 1);
}
