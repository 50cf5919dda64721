//! Subscriptions against a naive model: whoever applies the events to a map holds what the scope holds.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use registry_api::Key;
use tokio::time::timeout;

use super::*;
use crate::boundary::CREDIT_MAX;
use crate::member::limits::{PROGRESS_AFTER, WATCH_EVENTS_MAX};
use crate::member::quorum_fake::{Bench, delete, put};
use crate::proto::command::Command;
use crate::proto::watch_event::Event;

const PATIENCE: Duration = Duration::from_secs(10);

/// A consumer: its map, and everything that it was told.
#[derive(Default)]
struct Mirror {
    map: BTreeMap<String, Revision>,
    revision: Revision,
    causes: Vec<proto::SnapshotCause>,
    pending: BTreeMap<String, Revision>,
}

impl Mirror {
    fn take(&mut self, events: Vec<Bytes>) {
        for event in events {
            match proto::WatchEvent::decode(event).expect("an event").event.expect("of a known kind") {
                Event::Snapshot(part) => self.snapshot(part),
                Event::Put(put) => {
                    let entry = put.entry.expect("an entry");
                    let modified = self.moved(entry.modified);
                    let before = self.map.insert(entry.key, modified);
                    let previous = put.previous.map(|entry| Revision::from(entry.modified.unwrap()));
                    assert_eq!(before, previous, "the previous entry is the one that was there");
                }
                Event::Delete(delete) => {
                    self.moved(delete.revision);
                    let previous = delete.previous.expect("a previous entry");
                    let before = self.map.remove(&previous.key).expect("a key that was there");
                    assert_eq!(before, Revision::from(previous.modified.unwrap()));
                }
                Event::Progress(revision) => self.revision = revision.into(),
            }
        }
    }

    /// Several events may share a revision; none goes back.
    fn moved(&mut self, revision: Option<proto::Revision>) -> Revision {
        let revision = Revision::from(revision.expect("a revision"));
        assert!(revision >= self.revision, "{revision} after {}", self.revision);
        self.revision = revision;
        revision
    }

    fn snapshot(&mut self, part: proto::SnapshotPart) {
        let cause = part.cause();
        let part = part.part.expect("a part");
        // A child without an entry is only a parent of others.
        for entry in part.children.into_iter().filter_map(|child| child.entry) {
            self.pending.insert(entry.key, entry.modified.unwrap().into());
        }
        if part.last {
            self.causes.push(cause);
            self.map = std::mem::take(&mut self.pending);
            self.revision = part.revision.unwrap().into();
        }
    }

    /// Takes events until this revision is reached.
    async fn reach(&mut self, subscription: &mut Subscription, revision: Revision) {
        while self.revision < revision {
            let events = timeout(PATIENCE, subscription.next()).await.expect("events in time");
            assert!(!events.is_empty());
            subscription.credit().add(events.len() as u64);
            self.take(events);
        }
    }
}

fn subscribe(bench: &Bench, scope: Scope, after: Option<Revision>, credit: u64) -> Subscription {
    let subscription = bench.watches.subscribe(scope, after).unwrap();
    subscription.credit().add(credit);
    subscription
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// What the scope holds now.
fn truth(bench: &Bench, scope: &Scope) -> BTreeMap<String, Revision> {
    let listing = bench.quorum.state().list(scope, registry_api::ListContents::Entries, None, None);
    listing.entries().map(|entry| (entry.key.to_string(), entry.modified)).collect()
}

#[tokio::test]
async fn a_subscription_begins_with_a_snapshot_and_goes_on_without_gap_or_duplicate() {
    let bench = Bench::new();
    bench.quorum.apply([put("/a/1", "x"), put("/a/2", "x"), put("/ab", "x")]);
    let scope = Scope::Tree(key("/a"));
    let mut subscription = subscribe(&bench, scope.clone(), None, CREDIT_MAX);
    bench.quorum.apply([put("/a/1", "y"), delete("/a/2"), put("/a/3", "x"), put("/ab", "y")]);
    let mut mirror = Mirror::default();
    let end = bench.quorum.apply([put("/a/end", "x")]).remove(0).revision.unwrap().into();
    mirror.reach(&mut subscription, end).await;
    assert_eq!(mirror.causes, [proto::SnapshotCause::Initial]);
    assert_eq!(mirror.map, truth(&bench, &scope));
}

#[tokio::test]
async fn changes_that_are_applied_while_the_snapshot_is_sent_are_neither_lost_nor_doubled() {
    let bench = Bench::new();
    bench.quorum.apply((0..40).map(|number| put(&format!("/a/{number:02}"), vec![0; 100_000])));
    let mut subscription = subscribe(&bench, Scope::All, None, 1);
    let mut mirror = Mirror::default();
    mirror.take(subscription.next().await);
    assert!(mirror.causes.is_empty(), "the snapshot has several parts");
    let end = bench.quorum.apply([put("/a/00", "new"), delete("/a/39")]).remove(1).revision.unwrap().into();
    subscription.credit().add(CREDIT_MAX);
    mirror.reach(&mut subscription, end).await;
    assert_eq!(mirror.causes, [proto::SnapshotCause::Initial]);
    assert_eq!(mirror.map, truth(&bench, &Scope::All));
}

#[tokio::test]
async fn nothing_is_sent_without_credit_and_each_event_uses_one() {
    let bench = Bench::new();
    let mut subscription = subscribe(&bench, Scope::All, None, 0);
    assert!(futures::poll!(std::pin::pin!(subscription.next())).is_pending());
    subscription.credit().add(3);
    subscription.next().await;
    bench.quorum.apply((0..5).map(|number| put(&format!("/{number}"), "x")));
    assert_eq!(subscription.next().await.len(), 2);
    assert!(futures::poll!(std::pin::pin!(subscription.next())).is_pending());
    subscription.credit().add(10);
    assert_eq!(subscription.next().await.len(), 3);
}

#[tokio::test]
async fn a_slow_consumer_gets_a_new_snapshot_and_disturbs_nobody() {
    let bench = Bench::new();
    let mut slow = subscribe(&bench, Scope::All, None, 1);
    let mut quick = subscribe(&bench, Scope::All, None, CREDIT_MAX);
    let (mut behind, mut mirror) = (Mirror::default(), Mirror::default());
    behind.take(slow.next().await);
    let mut end = Revision::ZERO;
    for number in 0..=WATCH_EVENTS_MAX {
        end = bench.quorum.apply([put(&format!("/{}", number % 10), "x")]).remove(0).revision.unwrap().into();
        if number % 500 == 0 {
            mirror.reach(&mut quick, end).await;
        }
    }
    mirror.reach(&mut quick, end).await;
    slow.credit().add(CREDIT_MAX);
    behind.reach(&mut slow, end).await;
    assert_eq!(mirror.causes, [proto::SnapshotCause::Initial]);
    assert_eq!(behind.causes, [proto::SnapshotCause::Initial, proto::SnapshotCause::Overflow]);
    assert_eq!(behind.map, mirror.map);
    assert_eq!(behind.map, truth(&bench, &Scope::All));
}

#[tokio::test]
async fn a_buffer_is_bounded_in_bytes_too() {
    let bench = Bench::new();
    let mut slow = subscribe(&bench, Scope::All, None, 1);
    let mut mirror = Mirror::default();
    mirror.take(slow.next().await);
    for number in 0..20 {
        bench.quorum.apply([put(&format!("/{number}"), vec![0; 500_000])]);
    }
    slow.credit().add(CREDIT_MAX);
    mirror.reach(&mut slow, bench.quorum.state().revision()).await;
    assert_eq!(mirror.causes, [proto::SnapshotCause::Initial, proto::SnapshotCause::Overflow]);
}

#[tokio::test]
async fn a_subscription_resumes_after_a_revision_from_the_history() {
    let bench = Bench::new();
    let after = bench.quorum.apply([put("/a", "1")]).remove(0).revision.unwrap().into();
    bench.quorum.apply([put("/a", "2"), delete("/a"), put("/a", "3")]);
    let mut subscription = subscribe(&bench, Scope::All, Some(after), CREDIT_MAX);
    let mut mirror = Mirror { map: BTreeMap::from([("/a".to_owned(), after)]), revision: after, ..Mirror::default() };
    mirror.reach(&mut subscription, bench.quorum.state().revision()).await;
    let end = bench.quorum.apply([put("/b", "1")]).remove(0).revision.unwrap().into();
    mirror.reach(&mut subscription, end).await;
    assert!(mirror.causes.is_empty());
    assert_eq!(mirror.map, truth(&bench, &Scope::All));
}

#[tokio::test]
async fn a_long_history_is_taken_in_pieces() {
    let bench = Bench::new();
    let after = bench.quorum.apply([put("/0", "")]).remove(0).revision.unwrap().into();
    let mut mirror = Mirror { map: BTreeMap::from([("/0".to_owned(), after)]), revision: after, ..Mirror::default() };
    for _ in 0..3000 {
        bench.quorum.apply([put("/0", "x")]);
    }
    let mut subscription = subscribe(&bench, Scope::All, Some(after), CREDIT_MAX);
    mirror.take(subscription.next().await);
    for number in 0..100 {
        bench.quorum.apply([put(&format!("/{number}"), "x")]);
    }
    mirror.reach(&mut subscription, bench.quorum.state().revision()).await;
    assert!(mirror.causes.is_empty());
    assert_eq!(mirror.map, truth(&bench, &Scope::All));
}

#[tokio::test]
async fn a_revision_of_another_incarnation_gets_a_snapshot() {
    let bench = Bench::new();
    bench.quorum.apply([put("/a", "1")]);
    let mut subscription = subscribe(&bench, Scope::All, Some(Revision::new(0, 77)), CREDIT_MAX);
    let mut mirror = Mirror::default();
    mirror.reach(&mut subscription, bench.quorum.state().revision()).await;
    assert_eq!(mirror.causes, [proto::SnapshotCause::Restored]);
}

#[tokio::test]
async fn a_snapshot_that_is_installed_under_a_subscription_leaves_no_gap() {
    let bench = Bench::new();
    let mut subscription = subscribe(&bench, Scope::All, None, CREDIT_MAX);
    let mut mirror = Mirror::default();
    mirror.take(subscription.next().await);
    bench.quorum.apply([put("/a", "1")]);
    bench.quorum.install([put("/a", "2"), put("/b", "1"), delete("/a")]);
    let end = bench.quorum.apply([put("/c", "1")]).remove(0).revision.unwrap().into();
    mirror.reach(&mut subscription, end).await;
    assert_eq!(mirror.causes, [proto::SnapshotCause::Initial], "the history of the snapshot reaches back");
    assert_eq!(mirror.map, truth(&bench, &Scope::All));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_subscription_is_told_how_far_it_is() {
    let bench = Bench::new();
    let mut subscription = subscribe(&bench, Scope::Tree(key("/quiet")), None, CREDIT_MAX);
    let mut mirror = Mirror::default();
    mirror.take(subscription.next().await);
    let end = bench.quorum.apply([put("/elsewhere", "1")]).remove(0).revision.unwrap().into();
    mirror.reach(&mut subscription, end).await;
    assert!(mirror.map.is_empty());
    let idle = timeout(PROGRESS_AFTER * 10, subscription.next()).await;
    assert!(idle.is_err(), "nothing moved, so there is nothing to tell");
}

#[tokio::test]
async fn a_dropped_subscription_leaves_nothing_behind() {
    let bench = Bench::new();
    let subscriptions: Vec<_> =
        (0..100).map(|number| subscribe(&bench, Scope::Children(key(&format!("/{}", number % 7))), None, 1)).collect();
    assert_eq!(bench.watches.lock().scopes.len(), 100);
    drop(subscriptions);
    assert_eq!(bench.watches.lock().scopes.len(), 0);
}

fn scopes() -> impl Strategy<Value = Scope> {
    let roots = prop_oneof![Just("/a"), Just("/a/b"), Just("/a/bb"), Just("/c")];
    (roots, 0..4_u8).prop_map(|(root, kind)| match kind {
        0 => Scope::Key(key(root)),
        1 => Scope::Children(key(root)),
        2 => Scope::Tree(key(root)),
        _ => Scope::All,
    })
}

fn commands() -> impl Strategy<Value = Command> {
    let keys = prop_oneof![Just("/a"), Just("/a/b"), Just("/a/bb"), Just("/a/b/c"), Just("/c"), Just("/c/d/e")];
    (keys, any::<bool>()).prop_map(|(key, puts)| if puts { put(key, "x") } else { delete(key) })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Each scope sees exactly its own changes, whenever the subscription begins and however slowly it is read.
    #[test]
    fn whoever_applies_the_events_holds_what_the_scope_holds(
        scope in scopes(),
        before in prop::collection::vec(commands(), 0..20),
        after in prop::collection::vec((commands(), 0..3_u8), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new();
            bench.quorum.apply(before);
            let mut subscription = subscribe(&bench, scope.clone(), None, 1);
            let mut mirror = Mirror::default();
            for (command, what) in after {
                match what {
                    0 => { bench.quorum.apply([command]); }
                    1 => bench.quorum.install([command]),
                    _ => {
                        bench.quorum.apply([command]);
                        let polled = futures::poll!(std::pin::pin!(subscription.next()));
                        if let std::task::Poll::Ready(events) = polled {
                            mirror.take(events);
                            subscription.credit().add(2);
                        }
                    }
                }
            }
            // The last change of every scope: each of them holds one of these.
            let last = ["/a", "/a/b", "/a/bb", "/c", "/a/x", "/a/b/x", "/a/bb/x", "/c/x"].map(|key| put(key, "end"));
            let revisions = last.map(|command| Revision::from(bench.quorum.apply([command]).remove(0).revision.unwrap()));
            subscription.credit().add(CREDIT_MAX);
            let expected = truth(&bench, &scope);
            let end = expected.values().copied().filter(|revision| revisions.contains(revision)).max();
            mirror.reach(&mut subscription, end.expect("a last change")).await;
            assert_eq!(mirror.map, expected);
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_that_begin_while_changes_are_applied_miss_nothing() {
    let bench = Arc::new(Bench::new());
    let applying = {
        let bench = Arc::clone(&bench);
        tokio::task::spawn_blocking(move || {
            for number in 0..20_000_u32 {
                bench.quorum.apply([put(&format!("/a/{}", number % 50), "x")]);
            }
        })
    };
    let mut mirrors = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let bench = Arc::clone(&bench);
        mirrors.spawn(async move {
            let mut mirror = Mirror::default();
            let mut subscription = subscribe(&bench, Scope::Tree(key("/a")), None, CREDIT_MAX);
            mirror.reach(&mut subscription, Revision::new(1, 20_000)).await;
            mirror.map
        });
        tokio::task::yield_now().await;
    }
    applying.await.unwrap();
    while let Some(map) = mirrors.join_next().await {
        assert_eq!(map.unwrap(), truth(&bench, &Scope::Tree(key("/a"))));
    }
}
