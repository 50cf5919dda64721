//! Tests of sessions and death certificates.

use registry_api::{PutOptions, Scope, SessionId};

use super::bench::{Bench, SMALL, bytes_of, decode, end, open, put};
use crate::proto::command::Command;
use crate::proto::{self, DeathCertificate, Failure, SessionEndReason};
use crate::state_machine::Change;

fn expire(session: SessionId) -> Command {
    let certificate = DeathCertificate {
        reason: SessionEndReason::Expired.into(),
        label: "forged".to_owned(),
        silent_ms: 10_500,
        round_trips_us: (0..40).collect(),
        leader: 2,
        ..DeathCertificate::default()
    };
    Command::EndSession(proto::EndSession { session: session.get(), certificate: Some(certificate) })
}

#[test]
fn everything_of_a_session_ends_at_one_revision() {
    let mut bench = Bench::new();
    let session = bench.open();
    for number in 0..1_000 {
        bench.put_ephemeral(&format!("/e/{number}"), session);
    }
    bench.put("/p", "");
    bench.lock("/l", session, 1);
    let before = bench.machine.revision();
    bench.run(end(session));
    assert_eq!(bench.machine.revision().counter, before.counter + 1);
    let events: Vec<_> = bench.machine.events_after(&Scope::All, before).unwrap().collect();
    assert_eq!(events.len(), 1_000);
    assert!(events.iter().all(|change| change.revision() == Some(bench.machine.revision())));
    assert_eq!(bench.keys(&Scope::All), ["/p"]);
}

#[test]
fn the_changes_of_an_end_come_before_the_end() {
    let mut bench = Bench::new();
    let session = bench.open();
    bench.put_ephemeral("/e", session);
    let (_, changes) = bench.run(end(session));
    assert!(matches!(changes.as_slice(), [Change::Delete { .. }, Change::SessionEnded { id }] if *id == session));
}

#[test]
fn an_ended_session_stays_ended_and_its_id_is_never_given_again() {
    let mut bench = Bench::new();
    let session = bench.open();
    bench.run(end(session));
    let before = bench.machine.revision();
    bench.run(end(session));
    assert_eq!(bench.machine.revision(), before);
    assert_eq!(bench.failure(put("/e", b"", &PutOptions::ephemeral(session))), Failure::SessionEnded);
    bench.machine = decode(&bytes_of(&bench.machine), &crate::state_machine::limits::LIMITS);
    assert!(bench.open() > session);
    assert!(!bench.machine.has_session(session));
}

#[test]
fn a_ttl_out_of_range_and_a_long_label_are_refused() {
    let mut bench = Bench::new();
    assert_eq!(bench.failure(open(499)), Failure::InvalidArgument);
    assert_eq!(bench.failure(open(600_001)), Failure::InvalidArgument);
    let label = "l".repeat(256);
    let command = Command::OpenSession(proto::OpenSession { ttl_ms: 1_000, label });
    assert_eq!(bench.failure(command), Failure::InvalidArgument);
}

#[test]
fn sessions_are_limited_and_ending_one_makes_room() {
    let mut bench = Bench::small();
    let sessions: Vec<_> = (0..4).map(|_| bench.open()).collect();
    assert_eq!(bench.failure(open(1_000)), Failure::LimitExceeded);
    bench.run(end(sessions[2]));
    bench.open();
}

#[test]
fn expiry_leaves_a_certificate_in_which_the_state_machine_states_what_it_knows() {
    let mut bench = Bench::new();
    let session = bench.open();
    bench.put_ephemeral("/e", session);
    bench.lock("/l", session, 1);
    bench.run(expire(session));
    let deaths: Vec<_> = bench.machine.deaths().collect();
    let [death] = deaths.as_slice() else { panic!("{deaths:?}") };
    assert_eq!((death.session, death.label.as_str(), death.ttl_ms), (session.get(), "test", 10_000));
    assert_eq!((death.keys, death.locks, death.silent_ms, death.leader), (1, 1, 10_500, 2));
    assert_eq!(death.ended_at, Some(bench.machine.revision().into()));
    assert_eq!(death.round_trips_us, (8..40).collect::<Vec<u64>>());
}

#[test]
fn a_clean_close_leaves_no_certificate() {
    let mut bench = Bench::new();
    let session = bench.open();
    bench.run(end(session));
    assert_eq!(bench.machine.deaths().count(), 0);
}

#[test]
fn the_last_certificates_are_kept_newest_last() {
    let mut bench = Bench::small();
    let sessions: Vec<u64> = (0..5)
        .map(|_| {
            let session = bench.open();
            bench.run(expire(session));
            session.get()
        })
        .collect();
    let kept: Vec<u64> = bench.machine.deaths().map(|death| death.session).collect();
    assert_eq!(kept, sessions[sessions.len() - SMALL.deaths..]);
}

#[test]
fn opening_and_closing_many_sessions_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let mut snapshot = 0;
    for round in 0..2_000 {
        let session = bench.open();
        bench.lock("/l", session, 1);
        bench.run(end(session));
        if round == 999 {
            snapshot = bytes_of(&bench.machine).len();
        }
    }
    // Only the numbers in the header grow.
    assert!(bytes_of(&bench.machine).len() <= snapshot + 8);
}
