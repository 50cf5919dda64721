//! Tests of transactions.

use registry_api::{Check, FencingToken, LockGrant, Revision, Scope, SessionId, Transaction, TransactionBuilder};

use super::bench::{Bench, end, key};
use crate::convert::commit_of;
use crate::proto::Failure;
use crate::proto::command::Command;

fn commit(builder: TransactionBuilder) -> Command {
    Command::Commit(commit_of(&builder.build().unwrap()).unwrap())
}

#[test]
fn a_transaction_is_one_revision() {
    let mut bench = Bench::new();
    bench.put("/old", "");
    let before = bench.machine.revision();
    bench.run(commit(Transaction::builder().put(key("/a"), "1").put(key("/b"), "2").delete(key("/old"))));
    let revision = Revision::new(1, before.counter + 1);
    let events = bench.machine.events_after(&Scope::All, before).unwrap();
    assert_eq!(events.map(|change| change.revision()).collect::<Vec<_>>(), [Some(revision); 3]);
}

#[test]
fn nothing_happens_when_any_part_is_refused() {
    let mut bench = Bench::new();
    let session = bench.open();
    bench.put("/p", "");
    let gone = SessionId::new(99);
    let absent = Transaction::builder().put(key("/a"), "").absent(key("/p"));
    assert_eq!(bench.failure(commit(absent)), Failure::PreconditionFailed);
    let mismatch = Transaction::builder().put(key("/a"), "").put_ephemeral(key("/p"), "", session);
    assert_eq!(bench.failure(commit(mismatch)), Failure::LifetimeMismatch);
    let ended = Transaction::builder().put(key("/a"), "").put_ephemeral(key("/e"), "", gone);
    assert_eq!(bench.failure(commit(ended)), Failure::SessionEnded);
    let parent = Transaction::builder().delete(key("/p")).put_ephemeral(key("/e"), "", session).put(key("/e/x"), "");
    assert_eq!(bench.failure(commit(parent)), Failure::EphemeralParent);
    let child = Transaction::builder().put(key("/e/x"), "").put_ephemeral(key("/e"), "", session);
    assert_eq!(bench.failure(commit(child)), Failure::EphemeralParent);
    assert_eq!(bench.keys(&Scope::All), ["/p"]);
}

#[test]
fn a_mutation_sees_those_before_it() {
    let mut bench = Bench::new();
    let session = bench.open();
    bench.put_ephemeral("/e", session);
    bench.run(commit(Transaction::builder().delete(key("/e")).put(key("/e/x"), "")));
    bench.run(commit(Transaction::builder().delete(key("/e/x")).put_ephemeral(key("/e"), "", session)));
    bench.run(end(session));
    assert_eq!(bench.keys(&Scope::All), [""; 0]);
}

#[test]
fn checks_alone_change_nothing() {
    let mut bench = Bench::new();
    bench.put("/c", "");
    let at = bench.put("/a", "");
    bench.run(commit(Transaction::builder().at(key("/a"), at).check(Check::Present(key("/c"))).absent(key("/b"))));
    assert_eq!(bench.machine.revision(), at);
    assert_eq!(
        bench.failure(commit(Transaction::builder().check(Check::Present(key("/b"))))),
        Failure::PreconditionFailed
    );
}

#[test]
fn a_transaction_is_guarded_by_a_lock() {
    let mut bench = Bench::new();
    let session = bench.open();
    let grant = bench.lock("/l", session, 1);
    bench.run(commit(Transaction::builder().lock_held(grant.clone()).put(key("/a"), "")));
    let forged = LockGrant { token: FencingToken::new(Revision::new(1, 999)), ..grant.clone() };
    assert_eq!(bench.failure(commit(Transaction::builder().lock_held(forged).put(key("/a"), ""))), Failure::LockLost);
    bench.run(end(session));
    assert_eq!(bench.failure(commit(Transaction::builder().lock_held(grant).put(key("/a"), ""))), Failure::LockLost);
}

#[test]
fn a_transaction_that_could_not_be_built_here_is_refused() {
    let mut bench = Bench::new();
    let put = |text: &str| crate::proto::Mutation {
        mutation: Some(crate::proto::mutation::Mutation::Delete(text.to_owned())),
    };
    let twice = crate::proto::Commit { checks: vec![], mutations: vec![put("/a"), put("/a")] };
    assert_eq!(bench.failure(Command::Commit(twice)), Failure::InvalidArgument);
    let many = crate::proto::Commit { checks: vec![], mutations: (0..65).map(|n| put(&format!("/{n}"))).collect() };
    assert_eq!(bench.failure(Command::Commit(many)), Failure::InvalidArgument);
}
