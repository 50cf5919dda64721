//! Subscriptions of the reference: resumed, overflowed, dropped.

use bytes::Bytes;

use super::persistent;
use crate::memory::{MemoryOptions, MemoryStore};
use crate::testbed::{key, settle};
use crate::{Event, PutOptions, Registry, Revision, Scope, SnapshotReason, SubscribeFrom, VALUE_LEN_MAX};

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
