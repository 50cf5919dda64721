//! What a namespace shows, and what it keeps out.

use std::num::NonZeroUsize;

use crate::testbed::{Testbed, key, lock_name};
use crate::{
    Check, ErrorKind, Event, KEY_LEN_MAX, ListOptions, LockWait, RegistryClient, SEGMENT_LEN_MAX, Scope, Transaction,
};

fn inside(bed: &Testbed) -> RegistryClient {
    bed.client.namespaced(&key("/ns"))
}

fn keys(listing: &crate::Listing) -> Vec<&str> {
    listing.keys().map(crate::Key::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn keys_are_mapped_both_ways_and_neighbours_are_not_seen() {
    let bed = Testbed::new();
    let client = inside(&bed);
    for outside in ["/ns", "/ns2/a", "/a"] {
        bed.client.put(&key(outside), "out").await.unwrap();
    }
    client.put(&key("/a"), "in").await.unwrap();
    client.put(&key("/b/c"), "in").await.unwrap();

    assert_eq!(bed.client.get(&key("/ns/a")).await.unwrap().unwrap().value, "in");
    assert_eq!(client.get(&key("/a")).await.unwrap().unwrap().key, key("/a"));
    assert_eq!(keys(&client.list(&Scope::All).await.unwrap()), ["/a", "/b/c"]);
    assert_eq!(keys(&client.list(&Scope::Tree(key("/b"))).await.unwrap()), ["/b/c"]);
    assert_eq!(client.delete_with(&Scope::Tree(key("/a")), crate::DeleteOptions::default()).await.unwrap().count, 1);
    assert!(bed.client.get(&key("/a")).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn pages_of_everything_hold_only_what_is_inside() {
    let bed = Testbed::new();
    let client = inside(&bed);
    bed.client.put(&key("/ns"), "out").await.unwrap();
    for name in ["/a", "/b", "/c"] {
        client.put(&key(name), "").await.unwrap();
    }
    let mut options = ListOptions { limit: NonZeroUsize::new(1), ..ListOptions::default() };
    let mut walked = Vec::new();
    loop {
        let page = client.list_with(&Scope::All, options.clone()).await.unwrap();
        assert_eq!(page.children.len(), 1);
        walked.extend(page.keys().cloned());
        match page.next {
            Some(next) => options.after = Some(next),
            None => break,
        }
    }
    assert_eq!(walked, [key("/a"), key("/b"), key("/c")]);
}

#[tokio::test(start_paused = true)]
async fn events_are_told_in_the_names_of_the_namespace() {
    let bed = Testbed::new();
    let client = inside(&bed);
    let mut events = client.subscribe(&Scope::All).await.unwrap();
    assert!(matches!(events.next().await.unwrap().unwrap(), Event::Snapshot { .. }));
    bed.client.put(&key("/ns"), "the root itself").await.unwrap();
    bed.client.put(&key("/ns2"), "a neighbour").await.unwrap();
    client.put(&key("/a"), "1").await.unwrap();
    client.put(&key("/a"), "2").await.unwrap();
    client.delete(&key("/a")).await.unwrap();

    assert_eq!(events.next().await.unwrap().unwrap().key(), Some(&key("/a")));
    let Event::Put { previous: Some(previous), .. } = events.next().await.unwrap().unwrap() else { panic!("a put") };
    assert_eq!(previous.key, key("/a"));
    let Event::Delete { previous, .. } = events.next().await.unwrap().unwrap() else { panic!("a delete") };
    assert_eq!(previous.key, key("/a"));
}

#[tokio::test(start_paused = true)]
async fn locks_are_mapped_and_guarded_writes_work_inside() {
    let bed = Testbed::new();
    let client = inside(&bed);
    let session = client.open_session(client.session_options()).await.unwrap();
    let guard = session.lock(&lock_name("/l"), LockWait::Try).await.unwrap();

    assert_eq!(guard.name(), &lock_name("/l"));
    guard.put(&key("/k"), "1").await.unwrap();
    let transaction = Transaction::builder().check(Check::Present(key("/k"))).put(key("/m"), "2").build().unwrap();
    guard.commit(transaction).await.unwrap();
    assert!(bed.client.inspect_lock(&lock_name("/l")).await.unwrap().holder.is_none());
    assert_eq!(bed.client.inspect_lock(&lock_name("/ns/l")).await.unwrap().holder.unwrap().session, session.id());
    assert_eq!(client.inspect_lock(&lock_name("/l")).await.unwrap().holder.as_ref(), Some(guard.grant()));
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn errors_name_neither_the_namespace_nor_a_key_outside() {
    let bed = Testbed::new();
    let client = inside(&bed);
    client.put(&key("/a"), "").await.unwrap();
    let error = client.create(&key("/a"), "").await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (&ErrorKind::PreconditionFailed, Some(&key("/a"))));
    assert!(!error.to_string().contains("/ns"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_too_long_with_the_namespace_in_front_is_refused() {
    let bed = Testbed::new();
    let longest = key(&format!("/{}", "s".repeat(SEGMENT_LEN_MAX)).repeat(4));
    assert_eq!(longest.as_str().len(), KEY_LEN_MAX);
    let error = inside(&bed).put(&longest, "").await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (&ErrorKind::InvalidArgument, Some(&longest)));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_in_a_namespace_is_a_longer_one() {
    let bed = Testbed::new();
    inside(&bed).namespaced(&key("/deep")).put(&key("/a"), "").await.unwrap();
    assert!(bed.client.get(&key("/ns/deep/a")).await.unwrap().is_some());
}
