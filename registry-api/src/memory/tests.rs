//! The contract, as the reference keeps it.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{MemoryOptions, MemoryStore, Reachability};
use crate::testbed::{key, lock_name, settle};
use crate::{
    Check, ConnectionState, DeleteOptions, Effect, Error, ErrorKind, Event, ForeignOwner, Lifetime, ListContents,
    ListOptions, LockRequest, LockWait, Mutation, Precondition, PutOptions, ReadLevel, Registry, Revision, Scope,
    SessionId, SessionOptions, SnapshotReason, SubscribeFrom, Transaction, VALUE_LEN_MAX,
};

async fn put(registry: &dyn Registry, text: &str, options: PutOptions) -> Result<Revision, Error> {
    registry.put(&key(text), Bytes::from_static(b"v"), options).await
}

async fn persistent(registry: &dyn Registry, text: &str) -> Revision {
    put(registry, text, PutOptions::default()).await.unwrap()
}

async fn session(registry: &dyn Registry) -> SessionId {
    registry.open_session(SessionOptions::default()).await.unwrap().id
}

async fn exists(registry: &dyn Registry, text: &str) -> bool {
    registry.get(&key(text), ReadLevel::Linearizable).await.unwrap().entry.is_some()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    let error = result.unwrap_err();
    assert_eq!(error.effect(), Effect::NotApplied);
    error.kind().clone()
}

#[tokio::test(start_paused = true)]
async fn a_value_of_one_byte_too_many_is_refused() {
    let registry = MemoryStore::new().client();
    let longest = Bytes::from(vec![0; VALUE_LEN_MAX]);
    assert!(registry.put(&key("/a"), longest, PutOptions::default()).await.is_ok());
    let longer = Bytes::from(vec![0; VALUE_LEN_MAX + 1]);
    assert_eq!(refused(registry.put(&key("/a"), longer, PutOptions::default()).await), ErrorKind::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn children_are_unique_ordered_and_named_also_where_they_are_only_parents() {
    let registry = MemoryStore::new().client();
    for text in ["/a/b/c", "/a/b-c", "/a/b/d", "/a/1", "/a/10/x", "/ab/x", "/a"] {
        persistent(&*registry, text).await;
    }
    let options = ListOptions { contents: ListContents::KeysOnly, ..ListOptions::default() };
    let listing = registry.list(&Scope::Children(key("/a")), options).await.unwrap();
    let shown: Vec<_> = listing.children.iter().map(|child| (child.key.as_str(), child.entry.is_some())).collect();
    assert_eq!(shown, [("/a/1", true), ("/a/10", false), ("/a/b", false), ("/a/b-c", true)]);
    assert!(listing.entries().all(|entry| entry.value.is_empty()));
    let nothing = registry.list(&Scope::Children(key("/none")), ListOptions::default()).await.unwrap();
    assert!(nothing.children.is_empty());
}

#[tokio::test(start_paused = true)]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let registry = MemoryStore::new().client();
    for number in 0..10 {
        persistent(&*registry, &format!("/n/{number}")).await;
    }
    let mut options = ListOptions { limit: NonZeroUsize::new(4), ..ListOptions::default() };
    let mut walked = Vec::new();
    loop {
        let page = registry.list(&Scope::Tree(key("/n")), options.clone()).await.unwrap();
        walked.extend(page.keys().cloned());
        match page.next {
            Some(next) => options.after = Some(next),
            None => break,
        }
    }
    let all: Vec<_> = (0..10).map(|number| key(&format!("/n/{number}"))).collect();
    assert_eq!(walked, all);
}

#[tokio::test(start_paused = true)]
async fn a_tree_is_deleted_at_one_revision_and_its_siblings_stay() {
    let registry = MemoryStore::new().client();
    for text in ["/a/1", "/a/1/x", "/a/1/y/z", "/a/10"] {
        persistent(&*registry, text).await;
    }
    let mut events = registry.subscribe(&Scope::All, SubscribeFrom::Snapshot).await.unwrap();
    events.next().await.unwrap().unwrap();
    let deleted = registry.delete(&Scope::Tree(key("/a/1")), DeleteOptions::default()).await.unwrap();
    assert_eq!(deleted.count, 3);
    for expected in ["/a/1", "/a/1/x", "/a/1/y/z"] {
        let event = events.next().await.unwrap().unwrap();
        assert_eq!((event.key(), event.revision()), (Some(&key(expected)), deleted.revision));
    }
    assert!(exists(&*registry, "/a/10").await);
    let again = registry.delete(&Scope::Tree(key("/a/1")), DeleteOptions::default()).await.unwrap();
    assert_eq!((again.count, again.revision), (0, deleted.revision));
}

#[tokio::test(start_paused = true)]
async fn a_created_again_key_does_not_satisfy_an_old_revision() {
    let registry = MemoryStore::new().client();
    let first = persistent(&*registry, "/a").await;
    registry.delete(&Scope::Key(key("/a")), DeleteOptions::default()).await.unwrap();
    persistent(&*registry, "/a").await;
    let at = PutOptions::default().when(Precondition::At(first));
    assert_eq!(refused(put(&*registry, "/a", at).await), ErrorKind::PreconditionFailed);
    let options = DeleteOptions::when(Precondition::At(first));
    assert_eq!(refused(registry.delete(&Scope::Key(key("/a")), options).await), ErrorKind::PreconditionFailed);
}

#[tokio::test(start_paused = true)]
async fn ephemeral_keys_belong_to_a_session_and_move_only_when_taken_over() {
    let registry = MemoryStore::new().client();
    let (first, second) = (session(&*registry).await, session(&*registry).await);
    put(&*registry, "/e", PutOptions::ephemeral(first)).await.unwrap();
    put(&*registry, "/e", PutOptions::ephemeral(first)).await.unwrap();
    let refusal = refused(put(&*registry, "/e", PutOptions::ephemeral(second)).await);
    assert_eq!(refusal, ErrorKind::OwnedByAnother { owner: first });
    let mut events = registry.subscribe(&Scope::All, SubscribeFrom::Snapshot).await.unwrap();
    events.next().await.unwrap().unwrap();

    put(&*registry, "/e", PutOptions::ephemeral(second).taking_over()).await.unwrap();
    registry.close_session(first).await.unwrap();

    let Event::Put { entry, previous } = events.next().await.unwrap().unwrap() else { panic!("a put") };
    assert_eq!((entry.owner, previous.and_then(|previous| previous.owner)), (Some(second), Some(first)));
    assert!(exists(&*registry, "/e").await, "the old owner's end changed nothing");
    registry.close_session(second).await.unwrap();
    assert!(matches!(events.next().await.unwrap().unwrap(), Event::Delete { .. }));
}

#[tokio::test(start_paused = true)]
async fn lifetimes_do_not_change_silently_and_ephemeral_keys_have_no_children() {
    let registry = MemoryStore::new().client();
    let owner = session(&*registry).await;
    persistent(&*registry, "/p/child").await;
    put(&*registry, "/e", PutOptions::ephemeral(owner)).await.unwrap();
    let ephemeral = || PutOptions::ephemeral(owner);
    assert_eq!(refused(put(&*registry, "/e", PutOptions::default()).await), ErrorKind::LifetimeMismatch);
    assert_eq!(refused(put(&*registry, "/p/child", ephemeral()).await), ErrorKind::LifetimeMismatch);
    assert_eq!(refused(put(&*registry, "/p", ephemeral()).await), ErrorKind::EphemeralParent);
    assert_eq!(refused(put(&*registry, "/e/x/y", PutOptions::default()).await), ErrorKind::EphemeralParent);
}

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

#[tokio::test(start_paused = true)]
async fn a_silent_session_ends_at_its_ttl_and_all_its_keys_at_one_revision() {
    let store = MemoryStore::new();
    let registry = store.client();
    let ttl = Duration::from_secs(2);
    let silent = registry.open_session(SessionOptions::with_ttl(ttl)).await.unwrap().id;
    for number in 0..10 {
        put(&*registry, &format!("/e/{number}"), PutOptions::ephemeral(silent)).await.unwrap();
    }
    let mut events = registry.subscribe(&Scope::All, SubscribeFrom::Snapshot).await.unwrap();
    events.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    registry.heartbeat(silent).await.unwrap();
    let last_heartbeat = Instant::now();

    let first = events.next().await.unwrap().unwrap();

    // Timers have a resolution of one millisecond.
    let silence = last_heartbeat.elapsed();
    assert!(silence >= ttl && silence <= ttl + Duration::from_millis(2), "{silence:?}");
    for _ in 1..10 {
        assert_eq!(events.next().await.unwrap().unwrap().revision(), first.revision());
    }
    assert_eq!(refused(registry.heartbeat(silent).await), ErrorKind::SessionEnded);
    assert_eq!(refused(put(&*registry, "/e/0", PutOptions::ephemeral(silent)).await), ErrorKind::SessionEnded);
    assert!(registry.close_session(silent).await.is_ok(), "ending what has ended succeeds");
    assert_eq!(refused(registry.close_session(SessionId::new(77)).await), ErrorKind::SessionEnded);
    assert_eq!((store.usage().sessions, store.usage().keys), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_resumes_after_a_revision_as_far_as_the_history_reaches() {
    let options = MemoryOptions { history_len: 4, ..MemoryOptions::default() };
    let registry = MemoryStore::with_options(options).client();
    let mut revisions = Vec::new();
    for number in 0..8 {
        revisions.push(persistent(&*registry, &format!("/n/{number}")).await);
    }
    let mut resumed = registry.subscribe(&Scope::Tree(key("/n")), SubscribeFrom::After(revisions[3])).await.unwrap();
    for revision in &revisions[4..] {
        assert_eq!(resumed.next().await.unwrap().unwrap().revision(), *revision);
    }
    let mut compacted = registry.subscribe(&Scope::All, SubscribeFrom::After(revisions[2])).await.unwrap();
    let Event::Snapshot { listing, reason } = compacted.next().await.unwrap().unwrap() else { panic!("a snapshot") };
    assert_eq!((listing.children.len(), reason), (8, SnapshotReason::Compacted));
    let other_life = Revision::new(9, 1);
    let mut restored = registry.subscribe(&Scope::All, SubscribeFrom::After(other_life)).await.unwrap();
    let event = restored.next().await.unwrap().unwrap();
    assert!(matches!(event, Event::Snapshot { reason: SnapshotReason::Restored, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_gets_a_snapshot_and_costs_nobody_else() {
    let options = MemoryOptions { subscription_len: 8, ..MemoryOptions::default() };
    let registry = MemoryStore::with_options(options).client();
    let mut slow = registry.subscribe(&Scope::All, SubscribeFrom::Snapshot).await.unwrap();
    let mut quick = registry.subscribe(&Scope::All, SubscribeFrom::Snapshot).await.unwrap();
    quick.next().await.unwrap().unwrap();
    for number in 0..20 {
        let revision = persistent(&*registry, &format!("/{number}")).await;
        assert_eq!(quick.next().await.unwrap().unwrap().revision(), revision);
    }
    let Event::Snapshot { listing, reason } = slow.next().await.unwrap().unwrap() else { panic!("a snapshot") };
    assert_eq!((listing.children.len(), reason), (20, SnapshotReason::Overflow));
    let revision = persistent(&*registry, "/last").await;
    assert_eq!(slow.next().await.unwrap().unwrap().revision(), revision);
}

#[tokio::test(start_paused = true)]
async fn heavy_values_fill_a_buffer_before_their_number_does() {
    let registry = MemoryStore::new().client();
    let mut slow = registry.subscribe(&Scope::All, SubscribeFrom::Snapshot).await.unwrap();
    slow.next().await.unwrap().unwrap();
    let heavy = Bytes::from(vec![0; VALUE_LEN_MAX]);
    for _ in 0..40 {
        registry.put(&key("/a"), heavy.clone(), PutOptions::default()).await.unwrap();
    }
    let event = slow.next().await.unwrap().unwrap();
    assert!(matches!(event, Event::Snapshot { reason: SnapshotReason::Overflow, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_subscription_is_forgotten_and_a_waiting_one_is_woken() {
    let store = MemoryStore::new();
    let registry = store.client();
    let mut events = registry.subscribe(&Scope::Key(key("/a")), SubscribeFrom::Snapshot).await.unwrap();
    events.next().await.unwrap().unwrap();
    let waiting = tokio::spawn(async move { events.next().await });
    settle().await;
    let revision = persistent(&*registry, "/a").await;
    assert_eq!(waiting.await.unwrap().unwrap().unwrap().revision(), revision);
    assert_eq!(store.usage().subscriptions, 0);
}

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
async fn a_lock_shows_its_holder_and_waiters_with_their_ages() {
    let registry = MemoryStore::new().client();
    let (owner, waiter) = (session(&*registry).await, session(&*registry).await);
    let request = |session| LockRequest { name: lock_name("/l"), session, wait: LockWait::Forever };
    let grant = registry.acquire(request(owner)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let waiting = tokio::spawn({
        let registry = registry.clone();
        async move { registry.acquire(request(waiter)).await }
    });
    tokio::time::sleep(Duration::from_secs(3)).await;

    let status = registry.inspect_lock(&lock_name("/l")).await.unwrap();

    assert_eq!((status.holder, status.held_for.unwrap().as_secs()), (Some(grant.clone()), 5));
    assert_eq!(status.waiters.len(), 1);
    assert_eq!((status.waiters[0].session, status.waiters[0].waiting_for.unwrap().as_secs()), (waiter, 3));
    registry.release(&grant).await.unwrap();
    registry.release(&grant).await.unwrap();
    assert!(waiting.await.unwrap().unwrap().token > grant.token);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_waiters_are_served_in_order_and_one_at_a_time() {
    let store = MemoryStore::new();
    let registry = store.client();
    let owner = session(&*registry).await;
    let request = || LockRequest { name: lock_name("/l"), session: owner, wait: LockWait::Forever };
    let mut grant = registry.acquire(request()).await.unwrap();
    let mut waiting: std::collections::VecDeque<_> = (0..1000).map(|_| Box::pin(registry.acquire(request()))).collect();
    for place in &mut waiting {
        assert!(futures::poll!(place).is_pending());
    }
    while let Some(next) = waiting.pop_front() {
        registry.release(&grant).await.unwrap();
        assert_eq!(store.usage().waiters, waiting.len(), "one release, one grant");
        let next = next.await.unwrap();
        assert!(next.token > grant.token);
        grant = next;
    }
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

#[test]
fn sessions_expire_also_after_the_runtime_that_opened_them_has_stopped() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let store = MemoryStore::new();
    runtime().block_on(async { session(&*store.client()).await });
    runtime().block_on(async {
        let registry = store.client();
        session(&*registry).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(store.usage().sessions, 0);
    });
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_sessions_leave_no_trace() {
    let store = MemoryStore::new();
    let registry = store.client();
    for _ in 0..100_000 {
        let id = session(&*registry).await;
        registry.close_session(id).await.unwrap();
    }
    assert_eq!(store.usage(), super::MemoryUsage::default());
}
