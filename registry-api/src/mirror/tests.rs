//! What a mirror promises: the same as a fresh listing, and every difference told.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::memory::{MemoryOptions, Reachability};
use crate::testbed::{Testbed, key, settle};
use crate::{Entry, ErrorKind, Key, MIRROR_CHANGES_MAX, Mirror, MirrorChange, MirrorChanges, Scope};

async fn synced(bed: &Testbed) -> (Mirror, MirrorChanges) {
    let mirror = bed.client.mirror(Scope::Children(key("/n"))).await.unwrap();
    mirror.wait_synced().await.unwrap();
    let mut changes = mirror.changes();
    assert_eq!(changes.next().await, Some(MirrorChange::Resynced));
    (mirror, changes)
}

async fn listed(bed: &Testbed) -> BTreeMap<Key, Entry> {
    let listing = bed.other_client().list(&Scope::Children(key("/n"))).await.unwrap();
    listing.entries().map(|entry| (entry.key.clone(), entry.clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_with_their_last_values_and_shown_before_they_are_told() {
    let bed = Testbed::new();
    let (mirror, mut changes) = synced(&bed).await;
    let node = key("/n/1");
    bed.client.put(&node, "1").await.unwrap();
    let Some(MirrorChange::Added(added)) = changes.next().await else { panic!("added") };
    assert_eq!(mirror.get(&node), Some(added.clone()));

    bed.client.put(&node, "2").await.unwrap();
    let Some(MirrorChange::Updated { entry, previous }) = changes.next().await else { panic!("updated") };
    assert_eq!((&entry.value[..], previous), (&b"2"[..], added));

    bed.client.delete(&node).await.unwrap();
    assert_eq!(changes.next().await, Some(MirrorChange::Removed(entry)));
    assert_eq!(mirror.get(&node), None);
}

#[tokio::test(start_paused = true)]
async fn keys_outside_the_scope_are_not_mirrored() {
    let bed = Testbed::new();
    let (mirror, _changes) = synced(&bed).await;
    for outside in ["/n", "/n/1/deep", "/n2/1"] {
        bed.client.put(&key(outside), "").await.unwrap();
    }
    settle().await;
    assert!(mirror.entries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_an_overflow_the_net_differences_are_told_and_the_mirror_equals_a_listing() {
    let bed = Testbed::with_options(MemoryOptions { subscription_len: 2, ..MemoryOptions::default() });
    let (mirror, mut changes) = synced(&bed).await;
    bed.client.put(&key("/n/gone"), "").await.unwrap();
    assert!(matches!(changes.next().await, Some(MirrorChange::Added(_))));
    bed.registry.set_reachable(Reachability::Silent);
    let other = bed.other_client();
    other.delete(&key("/n/gone")).await.unwrap();
    for number in 0..10 {
        other.put(&key(&format!("/n/{number}")), "").await.unwrap();
    }

    bed.registry.set_reachable(Reachability::Reachable);

    let Some(MirrorChange::Removed(gone)) = changes.next().await else { panic!("removed") };
    assert_eq!(gone.key, key("/n/gone"));
    for number in 0..10 {
        let Some(MirrorChange::Added(entry)) = changes.next().await else { panic!("added") };
        assert_eq!(entry.key, key(&format!("/n/{number}")));
    }
    assert_eq!(changes.next().await, Some(MirrorChange::Resynced));
    assert_eq!(*mirror.entries(), listed(&bed).await);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_equals_a_listing_after_any_storm() {
    let bed = Testbed::with_options(MemoryOptions { subscription_len: 8, ..MemoryOptions::default() });
    let (mirror, _changes) = synced(&bed).await;
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..2000 {
        let node = key(&format!("/n/{}", random.random_range(0..20)));
        if random.random_bool(0.7) {
            bed.client.put(&node, vec![random.random()]).await.unwrap();
        } else {
            bed.client.delete(&node).await.unwrap();
        }
        if random.random_bool(0.05) {
            settle().await;
        }
    }
    settle().await;
    assert_eq!(*mirror.entries(), listed(&bed).await);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_too_slow_is_told_to_look_again() {
    let bed = Testbed::new();
    let (_mirror, mut changes) = synced(&bed).await;
    for number in 0..=MIRROR_CHANGES_MAX {
        bed.client.put(&key("/n/1"), format!("{number}")).await.unwrap();
        settle().await;
    }
    assert_eq!(changes.next().await, Some(MirrorChange::Resynced));
    assert!(matches!(changes.next().await, Some(MirrorChange::Updated { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_mirror_ends_with_the_registry_and_with_its_last_handle() {
    let bed = Testbed::new();
    let (mirror, mut changes) = synced(&bed).await;
    drop(mirror);
    settle().await;
    assert_eq!(bed.store.usage().subscriptions, 0);
    assert_eq!(changes.next().await, None);

    let mirror = bed.client.mirror(Scope::All).await.unwrap();
    bed.client.close().await.unwrap();
    assert_eq!(*mirror.wait_synced().await.unwrap_err().kind(), ErrorKind::Closed);
}
