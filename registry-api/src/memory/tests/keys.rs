//! Keys of the reference: values, listings, deletes, ownership.

use std::num::NonZeroUsize;

use bytes::Bytes;

use super::{exists, persistent, put, refused, session};
use crate::memory::MemoryStore;
use crate::testbed::key;
use crate::{
    DeleteOptions, ErrorKind, Event, ListContents, ListOptions, Precondition, PutOptions, Registry, Scope,
    SubscribeFrom, VALUE_LEN_MAX,
};

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
