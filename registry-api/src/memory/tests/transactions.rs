//! Transactions of the reference: all or nothing.

use bytes::Bytes;

use super::{exists, persistent, put, refused, session};
use crate::memory::MemoryStore;
use crate::testbed::{key, lock_name};
use crate::{
    Check, ErrorKind, ForeignOwner, Lifetime, LockRequest, LockWait, Mutation, PutOptions, ReadLevel, Registry,
    Revision, Scope, SessionId, SubscribeFrom, Transaction,
};

#[tokio::test(start_paused = true)]
async fn a_transaction_is_judged_by_the_state_it_leads_to() {
    let registry = MemoryStore::new().client();
    let owner = session(&*registry).await;
    persistent(&*registry, "/p/child").await;
    let becomes_leaf = Transaction::builder().delete(key("/p/child")).put_ephemeral(key("/p"), "", owner);
    assert!(registry.commit(becomes_leaf.build().unwrap()).await.is_ok());
    let both = Transaction::builder().put_ephemeral(key("/q"), "", owner).put(key("/q/child"), "");
    assert_eq!(refused(registry.commit(both.build().unwrap()).await), ErrorKind::EphemeralParent);
    assert!(!exists(&*registry, "/q").await);
}

#[tokio::test(start_paused = true)]
async fn each_failing_part_of_a_transaction_keeps_all_of_it_from_happening() {
    let registry = MemoryStore::new().client();
    let owner = session(&*registry).await;
    put(&*registry, "/e", PutOptions::ephemeral(owner)).await.unwrap();
    let at = persistent(&*registry, "/p").await;
    let grant = LockRequest { name: lock_name("/l"), session: owner, wait: LockWait::Try };
    let grant = registry.acquire(grant).await.unwrap();
    registry.release(&grant).await.unwrap();
    let ended = SessionId::new(999);
    let foreign = Mutation::Put {
        key: key("/e"),
        value: Bytes::new(),
        lifetime: Lifetime::Ephemeral(session(&*registry).await),
        foreign_owner: ForeignOwner::Refuse,
    };
    let failing = [
        (Transaction::builder().check(Check::Absent(key("/p"))), ErrorKind::PreconditionFailed),
        (Transaction::builder().check(Check::Present(key("/none"))), ErrorKind::PreconditionFailed),
        (Transaction::builder().check(Check::At(key("/p"), Revision::ZERO)), ErrorKind::PreconditionFailed),
        (Transaction::builder().check(Check::OwnedBy(key("/p"), owner)), ErrorKind::PreconditionFailed),
        (Transaction::builder().lock_held(grant), ErrorKind::LockLost),
        (Transaction::builder().put_ephemeral(key("/x"), "", ended), ErrorKind::SessionEnded),
        (Transaction::builder().put(key("/e"), ""), ErrorKind::LifetimeMismatch),
        (Transaction::builder().mutate(foreign), ErrorKind::OwnedByAnother { owner }),
    ];
    for (builder, kind) in failing {
        let transaction = builder.put(key("/new"), "").delete(key("/p")).build().unwrap();
        assert_eq!(refused(registry.commit(transaction).await), kind);
    }
    assert!(!exists(&*registry, "/new").await);
    let entry = registry.get(&key("/p"), ReadLevel::Linearizable).await.unwrap().entry.unwrap();
    assert_eq!(entry.modified, at);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_happens_at_one_revision_and_checks_alone_change_nothing() {
    let registry = MemoryStore::new().client();
    let before = persistent(&*registry, "/a").await;
    let check = Transaction::builder().check(Check::Present(key("/a"))).build().unwrap();
    assert_eq!(registry.commit(check).await.unwrap().revision, before);
    let change = Transaction::builder().delete(key("/a")).put(key("/b"), "").put(key("/c"), "").build().unwrap();
    let committed = registry.commit(change).await.unwrap().revision;
    let mut events = registry.subscribe(&Scope::All, SubscribeFrom::After(before)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(events.next().await.unwrap().unwrap().revision(), committed);
    }
}
