//! Tests of puts, deletes, listings and the history.

use registry_api::{Precondition, PutOptions, Revision, Scope, SessionId, VALUE_LEN_MAX};

use super::bench::{Bench, bytes_of, decode, end, key, proposal, put, when};
use crate::proto::command::Command;
use crate::proto::{self, Batch, Failure};
use crate::state_machine::limits::{LIMITS, Limits};
use crate::state_machine::{Change, StateMachine, UnknownCommand};

#[test]
fn a_tree_ends_at_segment_boundaries() {
    let mut bench = Bench::new();
    for text in ["/a/1", "/a/1/x", "/a/1-x", "/a/10", "/a/10/x"] {
        bench.put(text, "");
    }
    assert_eq!(bench.keys(&Scope::Tree(key("/a/1"))), ["/a/1", "/a/1/x"]);
    assert_eq!(bench.delete(&Scope::Tree(key("/a/1"))), 2);
    assert_eq!(bench.keys(&Scope::All), ["/a/1-x", "/a/10", "/a/10/x"]);
}

#[test]
fn children_are_in_byte_order_also_where_one_is_only_a_parent() {
    let mut bench = Bench::new();
    // As bytes, "/a/b-x" sorts before "/a/b/c", but the child "/a/b" before both.
    for text in ["/a", "/a/b-x", "/a/b/c", "/a/b/d/e", "/a/c", "/ab/x"] {
        bench.put(text, "");
    }
    assert_eq!(bench.keys(&Scope::Children(key("/a"))), ["/a/b", "/a/b-x", "/a/c"]);
    bench.delete(&Scope::Tree(key("/a/b")));
    assert_eq!(bench.keys(&Scope::Children(key("/a"))), ["/a/b-x", "/a/c"]);
}

#[test]
fn listing_children_does_not_read_what_is_below_them() {
    let mut bench = Bench::new();
    let put_deep = |index: u32| proposal(put(&format!("/a/{}/{index}", index % 2), b"", &PutOptions::default()));
    bench.machine.apply(&Batch { proposals: (0..50_000).map(put_deep).collect() }).unwrap();
    let started = std::time::Instant::now();
    for _ in 0..1_000 {
        assert_eq!(bench.keys(&Scope::Children(key("/a"))), ["/a/0", "/a/1"]);
    }
    // Reading all of it a thousand times would take minutes.
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn an_ephemeral_key_has_no_children() {
    let mut bench = Bench::new();
    let session = bench.open();
    bench.put_ephemeral("/a/e", session);
    assert_eq!(bench.failure(put("/a/e/x", b"", &PutOptions::default())), Failure::EphemeralParent);
    assert_eq!(bench.failure(put("/a/e/x/y/z", b"", &PutOptions::default())), Failure::EphemeralParent);
    bench.put("/b/c/d", "");
    assert_eq!(bench.failure(put("/b/c", b"", &PutOptions::ephemeral(session))), Failure::EphemeralParent);
    assert_eq!(bench.failure(put("/b", b"", &PutOptions::ephemeral(session))), Failure::EphemeralParent);
    bench.delete(&Scope::Key(key("/b/c/d")));
    bench.put_ephemeral("/b", session);
}

#[test]
fn a_key_never_changes_silently_between_persistent_and_ephemeral() {
    let mut bench = Bench::new();
    let session = bench.open();
    bench.put("/p", "");
    bench.put_ephemeral("/e", session);
    assert_eq!(bench.failure(put("/p", b"", &PutOptions::ephemeral(session))), Failure::LifetimeMismatch);
    assert_eq!(bench.failure(put("/p", b"", &PutOptions::ephemeral(session).taking_over())), Failure::LifetimeMismatch);
    assert_eq!(bench.failure(put("/e", b"", &PutOptions::default())), Failure::LifetimeMismatch);
}

#[test]
fn the_key_of_another_session_is_refused_with_its_owner_named() {
    let mut bench = Bench::new();
    let (first, second) = (bench.open(), bench.open());
    bench.put_ephemeral("/e", first);
    let refusal = bench.refused(put("/e", b"", &PutOptions::ephemeral(second)));
    assert_eq!(refusal.failure(), Failure::OwnedByAnother);
    assert_eq!((refusal.owner, refusal.key.as_str()), (first.get(), "/e"));
}

#[test]
fn a_key_taken_over_is_one_put_and_survives_the_old_session() {
    let mut bench = Bench::new();
    let (first, second) = (bench.open(), bench.open());
    let created = bench.put_ephemeral("/e", first);
    let (_, changes) = bench.run(put("/e", b"new", &PutOptions::ephemeral(second).taking_over()));
    assert!(matches!(changes.as_slice(), [Change::Put { previous: Some(_), .. }]));
    bench.run(end(first));
    let entry = bench.entry("/e").unwrap();
    assert_eq!((entry.owner, entry.created), (Some(second), created));
    bench.run(end(second));
    assert_eq!(bench.entry("/e"), None);
}

#[test]
fn each_precondition_holds_exactly_when_it_says() {
    let mut bench = Bench::new();
    let session = bench.open();
    bench.run(put("/a", b"1", &when(Precondition::Absent)));
    let at = bench.machine.revision();
    assert_eq!(bench.failure(put("/a", b"", &when(Precondition::Absent))), Failure::PreconditionFailed);
    bench.run(put("/a", b"2", &when(Precondition::At(at))));
    assert_eq!(bench.failure(put("/a", b"", &when(Precondition::At(at)))), Failure::PreconditionFailed);
    assert_eq!(bench.failure(put("/b", b"", &when(Precondition::At(at)))), Failure::PreconditionFailed);
    assert_eq!(bench.failure(put("/a", b"", &when(Precondition::OwnedBy(session)))), Failure::PreconditionFailed);
    bench.put_ephemeral("/e", session);
    let mine = PutOptions::ephemeral(session).when(Precondition::OwnedBy(session));
    bench.run(put("/e", b"", &mine));
}

#[test]
fn a_key_created_again_does_not_satisfy_an_old_revision() {
    let mut bench = Bench::new();
    let old = bench.put("/a", "same");
    bench.delete(&Scope::Key(key("/a")));
    bench.put("/a", "same");
    assert_eq!(bench.failure(put("/a", b"", &when(Precondition::At(old)))), Failure::PreconditionFailed);
}

#[test]
fn deleting_what_does_not_exist_is_no_change() {
    let mut bench = Bench::new();
    bench.put("/a", "");
    let before = bench.machine.revision();
    assert_eq!(bench.delete(&Scope::Tree(key("/b"))), 0);
    assert_eq!(bench.machine.revision(), before);
}

#[test]
fn a_tree_is_deleted_at_one_revision() {
    let mut bench = Bench::new();
    for text in ["/a", "/a/1", "/a/2/3"] {
        bench.put(text, "");
    }
    let before = bench.machine.revision();
    bench.delete(&Scope::Tree(key("/a")));
    let revision = Revision::new(1, before.counter + 1);
    let events = bench.machine.events_after(&Scope::All, before).unwrap();
    assert_eq!(events.map(|change| change.revision()).collect::<Vec<_>>(), [Some(revision); 3]);
}

#[test]
fn content_that_is_no_command_is_refused_and_never_a_panic() {
    let mut bench = Bench::new();
    let long = vec![0; VALUE_LEN_MAX + 1];
    let bad_key = proto::Put { key: "/a//b".to_owned(), ..proto::Put::default() };
    assert_eq!(bench.failure(Command::Put(bad_key)), Failure::InvalidArgument);
    assert_eq!(bench.failure(put("/a", &long, &PutOptions::default())), Failure::InvalidArgument);
    assert_eq!(bench.failure(Command::Delete(proto::Delete::default())), Failure::InvalidArgument);
    assert_eq!(bench.failure(Command::Acquire(proto::Acquire::default())), Failure::InvalidArgument);
    assert_eq!(bench.failure(Command::Abandon(proto::Abandon::default())), Failure::InvalidArgument);
    assert_eq!(bench.failure(Command::Release(proto::Release::default())), Failure::InvalidArgument);
    assert_eq!(bench.failure(Command::Commit(proto::Commit::default())), Failure::InvalidArgument);
    assert_eq!(bench.failure(Command::RegisterClient(proto::RegisterClient::default())), Failure::InvalidArgument);
    assert_eq!(bench.failure(Command::OpenSession(proto::OpenSession::default())), Failure::InvalidArgument);
    let unknown = PutOptions::ephemeral(SessionId::new(77));
    assert_eq!(bench.failure(put("/a", b"", &unknown)), Failure::SessionEnded);
}

#[test]
fn a_command_of_a_newer_version_is_fatal() {
    let mut machine = StateMachine::new();
    let missing = Batch { proposals: vec![proto::Proposal::default()] };
    assert!(matches!(machine.apply(&missing), Err(UnknownCommand { .. })));
    let precondition = Some(proto::Precondition::default());
    let part = proto::Put { key: "/a".to_owned(), precondition, ..proto::Put::default() };
    let batch = Batch { proposals: vec![proposal(Command::Put(part))] };
    assert!(matches!(machine.apply(&batch), Err(UnknownCommand { .. })));
}

static FEW: Limits = Limits { keys: 2, bytes: 20, keys_per_session: 1, ..LIMITS };

#[test]
fn at_a_limit_of_keys_or_bytes_writes_are_refused_and_deletes_work() {
    let mut bench = Bench { machine: StateMachine::with_limits(&FEW) };
    let session = bench.open();
    bench.put("/a", "12345678");
    assert_eq!(bench.failure(put("/b", b"12345678901", &PutOptions::default())), Failure::LimitExceeded);
    bench.put_ephemeral("/e", session);
    assert_eq!(bench.failure(put("/c", b"", &PutOptions::default())), Failure::LimitExceeded);
    assert_eq!(bench.failure(put("/a", b"12345678901234567", &PutOptions::default())), Failure::LimitExceeded);
    bench.put("/a", "shorter");
    assert_eq!(bench.delete(&Scope::Key(key("/a"))), 1);
    assert_eq!(bench.failure(put("/f", b"", &PutOptions::ephemeral(session))), Failure::LimitExceeded);
    bench.run(end(session));
    bench.put("/c", "");
}

#[test]
fn the_history_resumes_exactly_and_says_when_it_cannot() {
    let mut bench = Bench::small();
    let first = bench.put("/a", "0");
    for number in 1..=10 {
        bench.put("/a", &number.to_string());
    }
    assert!(bench.machine.events_after(&Scope::All, Revision::new(1, 0)).is_none());
    let scope = Scope::Key(key("/a"));
    let events: Vec<Change> = bench.machine.events_after(&scope, first).unwrap().collect();
    assert_eq!(events.len(), 10);
    assert!(matches!(&events[0], Change::Put { entry, previous: Some(previous) }
        if entry.value.as_ref() == b"1" && previous.modified == first));
    assert_eq!(bench.machine.events_after(&Scope::Tree(key("/b")), first).unwrap().count(), 0);
    assert!(bench.machine.events_after(&Scope::All, Revision::new(2, 5)).is_none());
    assert!(bench.machine.events_after(&Scope::All, Revision::ZERO).is_none());
}

static SHORT: Limits = Limits { history_bytes: 4_000, ..LIMITS };

#[test]
fn the_history_is_bounded_in_bytes_and_one_revision_larger_than_that_is_not_kept() {
    let mut bench = Bench { machine: StateMachine::with_limits(&SHORT) };
    for number in 0..100 {
        bench.put(&format!("/a/{number}"), &"x".repeat(100));
        assert!(bench.machine.history.bytes() <= 4_000);
    }
    let (kept, after) = (bench.machine.history.len(), bench.machine.revision());
    assert!(kept > 5);
    bench.delete(&Scope::All);
    assert_eq!(bench.machine.history.len(), 0);
    assert!(bench.machine.events_after(&Scope::All, after).is_none());
    assert_eq!(bench.machine.events_after(&Scope::All, bench.machine.revision()).unwrap().count(), 0);
}

#[test]
fn the_history_of_every_member_reaches_back_ten_thousand_revisions() {
    let mut bench = Bench::new();
    let puts = (0..10_001).map(|number: u32| proposal(put("/a", &number.to_be_bytes(), &PutOptions::default())));
    bench.machine.apply(&Batch { proposals: puts.collect() }).unwrap();
    let events = bench.machine.events_after(&Scope::All, Revision::new(1, 1)).unwrap();
    assert_eq!(events.count(), 10_000);
}

#[test]
fn a_stored_value_does_not_keep_the_message_that_brought_it() {
    let mut bench = Bench::new();
    let whole = bytes::Bytes::from(vec![7; 1_000]);
    let command = crate::convert::put_of(&key("/a"), whole.slice(10..11), &PutOptions::default());
    bench.run(Command::Put(command));
    assert!(whole.is_unique());
}

#[test]
fn sizes_are_counted_again_when_a_snapshot_is_read() {
    let mut bench = Bench::new();
    for text in ["/a/b/c", "/a", "/d"] {
        bench.put(text, "value");
    }
    bench.put("/a", "v");
    let mut restored = Bench { machine: decode(&bytes_of(&bench.machine), &LIMITS) };
    assert_eq!(restored.machine.keys.bytes(), bench.machine.keys.bytes());
    assert_eq!(restored.delete(&Scope::All), 3);
    assert_eq!(restored.machine.keys.bytes(), 0);
    let session = restored.open();
    restored.put_ephemeral("/a", session);
}

#[test]
fn what_may_take_long_is_not_brief() {
    let delete = |scope: Scope| Command::Delete(proto::Delete { target: Some((&scope).into()), precondition: None });
    let is_brief = |command| StateMachine::is_brief(&Batch { proposals: vec![proposal(command)] });
    assert!(is_brief(put("/a", b"1", &PutOptions::default())));
    assert!(is_brief(delete(Scope::Key(key("/a")))));
    let scopes = [Scope::Tree(key("/a")), Scope::Children(key("/a")), Scope::All];
    for long in scopes.map(delete).into_iter().chain([end(SessionId::new(1))]) {
        assert!(!is_brief(long));
    }
}
