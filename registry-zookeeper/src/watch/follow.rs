//! The task that follows one scope: from the watch's word to the feed, over every interruption.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use registry_api::{Key, ReadLevel, Revision, Scope, SnapshotReason};
use tokio::time::Instant;
use zookeeper_client as zk;

use super::batch::{Batch, Change};
use super::feed::Feed;
use crate::call::answer;
use crate::error::{Failure, Request};
use crate::inner::Inner;
use crate::node;
use crate::paths;
use crate::read;

/// More changed keys than this are not read one by one: the scope is read anew.
const DIRTY_MAX: usize = 4000;
/// How many keys are read back at one moment.
const READ_MAX: usize = 1000;
/// Between two attempts to arm the watch again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Arms a watch on everything at and below the root of a scope, which need not exist. Recursive always: servers before
/// 3.9 mix up watches of different modes on one path.
pub(super) async fn arm(
    client: &zk::Client,
    scope: &Scope,
    deadline: Instant,
) -> Result<zk::PersistentWatcher, Failure> {
    let root = paths::root(scope);
    answer(deadline, Request::Reads, client.watch(&root, zk::AddWatchMode::PersistentRecursive)).await
}

/// Keys that the watch told of, each with what it told last.
type Dirty = BTreeMap<Key, Told>;

/// What the watch told of a key.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// The transaction of the first delete.
    deleted_first: Option<i64>,
    /// The transaction of the last delete, where nothing followed it.
    deleted_last: Option<i64>,
    /// Whether the server does not say in which transaction something happened (before ZooKeeper 3.9).
    is_without_time: bool,
}

/// Why following stopped.
enum Stop {
    /// The connection was interrupted: the watch may have missed something, and has to be armed again.
    Interrupted,
    /// It cannot be helped.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        if failure.is_interruption() { Self::Interrupted } else { Self::Failed(failure) }
    }
}

pub(super) struct Follower {
    inner: Arc<Inner>,
    scope: Scope,
    feed: Arc<Feed>,
    batch: Batch,
}

impl Follower {
    pub(super) fn new(inner: Arc<Inner>, scope: Scope, feed: Arc<Feed>) -> Self {
        Self { inner, scope, feed, batch: Batch::default() }
    }

    pub(super) async fn run(mut self, armed: (zk::Client, zk::PersistentWatcher)) {
        let closing = self.inner.closing.clone();
        let feed = Arc::clone(&self.feed);
        tokio::select! {
            biased;
            () = closing.cancelled() => feed.close(),
            failure = self.follow_always(armed) => feed.fail(failure),
        }
    }

    /// Follows over every interruption; returns what cannot be helped.
    async fn follow_always(&mut self, armed: (zk::Client, zk::PersistentWatcher)) -> Failure {
        let (mut client, mut watch) = armed;
        loop {
            match self.follow(&client, &mut watch).await {
                Stop::Failed(failure) => return failure,
                Stop::Interrupted => self.batch.clear(),
            }
            match self.arm_again(client, watch).await {
                Ok(armed) => (client, watch) = armed,
                Err(failure) => return failure,
            }
        }
    }

    /// Arms the watch again and looks at everything that may have been missed. The former watch is dropped after that:
    /// the library does not arm it again by itself, and takes its place on the server away if it was the only one.
    async fn arm_again(
        &mut self,
        former_client: zk::Client,
        former: zk::PersistentWatcher,
    ) -> Result<(zk::Client, zk::PersistentWatcher), Failure> {
        let _former = former;
        loop {
            let deadline = self.inner.deadline();
            match self.try_arm(&former_client, deadline).await {
                Err(failure) if failure.is_interruption() => tokio::time::sleep(RETRY_PAUSE).await,
                result => return result,
            }
        }
    }

    async fn try_arm(
        &mut self,
        former: &zk::Client,
        deadline: Instant,
    ) -> Result<(zk::Client, zk::PersistentWatcher), Failure> {
        let client = self.inner.client(deadline).await?;
        let watch = arm(&client, &self.scope, deadline).await?;
        let tree = self.inner.tree(&client, &self.scope, ReadLevel::Linearizable, deadline).await?;
        if client.session_id() == former.session_id() {
            self.feed.compare(tree);
        } else {
            self.feed.replace(tree, SnapshotReason::Reconnected);
        }
        Ok((client, watch))
    }

    async fn follow(&mut self, client: &zk::Client, watch: &mut zk::PersistentWatcher) -> Stop {
        let mut dirty = Dirty::new();
        loop {
            match self.step(client, watch, &mut dirty).await {
                Ok(()) => {}
                Err(stop) => return stop,
            }
        }
    }

    /// Waits for the watch, reads back what it told of, and tells what can be told.
    async fn step(
        &mut self,
        client: &zk::Client,
        watch: &mut zk::PersistentWatcher,
        dirty: &mut Dirty,
    ) -> Result<(), Stop> {
        if dirty.is_empty() {
            let told = self.batch.finish();
            self.tell(told);
            let event = watch.changed().await;
            self.take_in(event, dirty)?;
        }
        self.drain(watch, dirty)?;
        if dirty.is_empty() {
            return Ok(());
        }
        let deadline = self.inner.deadline();
        if dirty.len() > DIRTY_MAX {
            dirty.clear();
            self.batch.clear();
            let tree = self.inner.tree(client, &self.scope, ReadLevel::Stale, deadline).await?;
            self.feed.compare(tree);
            return Ok(());
        }
        let mut now: Vec<_> = std::mem::take(dirty).into_iter().collect();
        let later = now.split_off(now.len().min(READ_MAX));
        let found = self.read_back(client, now, deadline).await?;
        self.drain(watch, dirty)?;
        let changes = self.changes(found, dirty);
        for (key, told) in later {
            dirty.entry(key).or_insert(told);
        }
        let told = self.batch.advance(changes);
        self.tell(told);
        Ok(())
    }

    fn tell(&self, changes: Vec<Change>) {
        if let Some(last) = changes.last() {
            self.inner.seen.note(last.revision);
        }
        self.feed.tell(changes);
    }

    /// Takes in everything that the watch has told by now.
    fn drain(&self, watch: &mut zk::PersistentWatcher, dirty: &mut Dirty) -> Result<(), Stop> {
        while let Some(event) = watch.changed().now_or_never() {
            self.take_in(event, dirty)?;
        }
        Ok(())
    }

    fn take_in(&self, event: zk::WatchedEvent, dirty: &mut Dirty) -> Result<(), Stop> {
        if event.event_type == zk::EventType::Session {
            return Err(Stop::Interrupted);
        }
        if let Some(key) = self.inner.layout.key(&event.path).filter(|key| self.scope.contains(key)) {
            let told = dirty.entry(key).or_default();
            let deleted = event.event_type == zk::EventType::NodeDeleted;
            let at = Some(event.zxid).filter(|zxid| deleted && *zxid > 0);
            told.deleted_first = told.deleted_first.or(at);
            told.deleted_last = at;
            told.is_without_time |= event.zxid <= 0;
        }
        Ok(())
    }

    /// Reads keys at one moment. Where the watch does not say when a key was deleted, what is above them is read, too.
    async fn read_back(
        &self,
        client: &zk::Client,
        keys: Vec<(Key, Told)>,
        deadline: Instant,
    ) -> Result<ReadBack, Failure> {
        let paths: Vec<_> = keys.iter().map(|(key, _)| paths::of(key)).collect();
        let silent = keys.iter().any(|(_, told)| told.is_without_time);
        let above = paths.iter().filter(|_| silent).flat_map(|path| paths::ancestors(path).chain(iter::once("/")));
        let above: Vec<_> = above.collect::<BTreeSet<_>>().into_iter().collect();
        let asked: Vec<_> = paths.iter().map(AsRef::as_ref).chain(above.iter().copied()).collect();
        let mut found = read::nodes(client, &asked, deadline).await?;
        let of_above = found.split_off(keys.len().min(found.len()));
        let above = above.into_iter().zip(of_above);
        let above = above.filter_map(|(path, found)| Some((path.to_owned(), found?.1))).collect();
        Ok(ReadBack { keys: keys.into_iter().zip(found).collect(), above })
    }

    /// What was read back, with the revision of each. `meanwhile` is what the watch told while it was read.
    fn changes(&self, read: ReadBack, meanwhile: &Dirty) -> Vec<Change> {
        let mut changes = Vec::new();
        for ((key, told), found) in read.keys {
            let (entry, revision) = match found {
                Some((data, stat)) => {
                    let entry = node::value(data, &stat).map(|value| node::entry(key.clone(), value, &stat));
                    (entry, node::revision(stat.mzxid))
                }
                // Neither told nor to be told: a parent, or what came and went.
                None if !self.feed.knows(&key) && !self.batch.knows(&key) => continue,
                None => {
                    let later = meanwhile.get(&key).and_then(|told| told.deleted_first);
                    let told = told.deleted_last.or(later).map(node::revision);
                    (None, told.unwrap_or_else(|| deleted_by(&key, &read.above)))
                }
            };
            changes.push(Change { key, entry, revision });
        }
        changes
    }
}

/// Keys that were read at one moment, and what is above them where that was read, too.
struct ReadBack {
    keys: Vec<((Key, Told), read::Found)>,
    above: BTreeMap<String, zk::Stat>,
}

/// The last moment at which a key that does not exist can have been deleted, where the watch does not say (before
/// ZooKeeper 3.9): the last change of the children of the nearest node above.
fn deleted_by(key: &Key, above: &BTreeMap<String, zk::Stat>) -> Revision {
    let path = paths::of(key);
    let nearest = paths::ancestors(&path).chain(iter::once("/")).find_map(|path| above.get(path));
    nearest.map(|stat| node::revision(stat.pzxid)).unwrap_or_default()
}
