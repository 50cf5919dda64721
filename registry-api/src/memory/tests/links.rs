//! Clients of the reference: cut off, closed, and at its limits.

use tokio::time::Instant;

use super::{exists, persistent, put, refused, session};
use crate::memory::{MemoryOptions, MemoryStore, Reachability};
use crate::testbed::{key, lock_name, settle};
use crate::{
    ConnectionState, Effect, ErrorKind, LockRequest, LockWait, PutOptions, ReadLevel, Registry, Scope, SessionOptions,
    SubscribeFrom,
};

#[tokio::test(start_paused = true)]
async fn each_way_of_being_cut_off_is_told_truthfully() {
    let store = MemoryStore::new();
    let (registry, other) = (store.client(), store.client());
    registry.set_reachable(Reachability::Refusing);
    assert_eq!(registry.connection().state(), ConnectionState::Suspended);
    assert_eq!(refused(put(&*registry, "/a", PutOptions::default()).await), ErrorKind::Unavailable);
    assert!(!exists(&*other, "/a").await);

    registry.set_reachable(Reachability::AnswersLost);
    let error = put(&*registry, "/a", PutOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (&ErrorKind::DeadlineExceeded, Effect::Unknown));
    assert!(exists(&*other, "/a").await, "it was applied");

    registry.set_reachable(Reachability::Silent);
    let begun = Instant::now();
    let error = put(&*registry, "/b", PutOptions::default()).await.unwrap_err();
    assert_eq!((error.effect(), begun.elapsed().as_secs()), (Effect::Unknown, 5));
    assert!(!exists(&*other, "/b").await);

    registry.set_reachable(Reachability::Reachable);
    store.set_reachable(Reachability::Refusing);
    assert_eq!(refused(other.get(&key("/a"), ReadLevel::Stale).await), ErrorKind::Unavailable);
    let late = store.client();
    assert_eq!(late.connection().state(), ConnectionState::Suspended);
    store.set_reachable(Reachability::Reachable);
    assert_eq!(late.connection().state(), ConnectionState::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_answers_nothing_more_and_its_waits_end() {
    let store = MemoryStore::new();
    let (registry, other) = (store.client(), store.client());
    let (owner, waiter) = (session(&*other).await, session(&*registry).await);
    let request = |session| LockRequest { name: lock_name("/l"), session, wait: LockWait::Forever };
    other.acquire(request(owner)).await.unwrap();
    let mut events = registry.subscribe(&Scope::All, SubscribeFrom::Snapshot).await.unwrap();
    events.next().await.unwrap().unwrap();
    let waiting = tokio::spawn({
        let registry = registry.clone();
        async move { registry.acquire(request(waiter)).await }
    });
    settle().await;

    registry.close().await.unwrap();
    registry.close().await.unwrap();

    assert_eq!(refused(waiting.await.unwrap()), ErrorKind::Closed);
    assert!(events.next().await.is_none());
    assert_eq!(refused(registry.get(&key("/a"), ReadLevel::Linearizable).await), ErrorKind::Closed);
    assert_eq!(registry.connection().state(), ConnectionState::Closed);
    assert_eq!((store.usage().waiters, store.usage().sessions), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn limits_are_errors_and_leave_the_store_working() {
    let options = MemoryOptions { keys_max: 1, sessions_max: 1, waiters_max: 1, ..MemoryOptions::default() };
    let registry = MemoryStore::with_options(options).client();
    persistent(&*registry, "/a").await;
    assert_eq!(refused(put(&*registry, "/b", PutOptions::default()).await), ErrorKind::LimitExceeded);
    persistent(&*registry, "/a").await;
    let owner = session(&*registry).await;
    assert_eq!(refused(registry.open_session(SessionOptions::default()).await), ErrorKind::LimitExceeded);
    let request = || LockRequest { name: lock_name("/l"), session: owner, wait: LockWait::Forever };
    registry.acquire(request()).await.unwrap();
    let mut waiting = Box::pin(registry.acquire(request()));
    assert!(futures::poll!(&mut waiting).is_pending());
    assert_eq!(refused(registry.acquire(request()).await), ErrorKind::LimitExceeded);
}
