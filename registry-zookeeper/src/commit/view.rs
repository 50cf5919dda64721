//! What a transaction sees of the nodes that concern it.

use std::collections::{BTreeMap, BTreeSet};

use registry_api::{Check, Key, Lifetime, LockGrant, Mutation, Scope};
use tokio::time::Instant;
use zookeeper_client as zk;

use super::owner;
use crate::call::answer;
use crate::error::{Failure, Request};
use crate::inner::Inner;
use crate::node::{self, Kind};
use crate::paths;
use crate::read;

/// What a key is now.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// There is no node.
    Missing,
    /// The node is only a parent.
    Parent(Node),
    /// The node is a key.
    Key(Node),
}

/// A node that was seen.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) stat: zk::Stat,
    /// Whether the node that keeps it from being removed, where it is a container, is there.
    pub(super) kept: bool,
}

impl Node {
    pub(super) fn kind(&self) -> Kind {
        node::kind(&self.stat)
    }

    /// How many children it has, without the one that only keeps it.
    pub(super) fn children(&self) -> i32 {
        self.stat.num_children - i32::from(self.kept)
    }
}

/// Everything that a transaction saw.
#[derive(Debug, Default)]
pub(super) struct View {
    stats: BTreeMap<String, zk::Stat>,
    states: BTreeMap<Key, State>,
    /// The places of the locks that are checked; `None` where the grant holds no more.
    locks: Vec<(LockGrant, Option<String>)>,
    /// The nodes below keys that are to become ephemeral, deepest first; `None` where one of them is more than a parent.
    below: BTreeMap<Key, Option<Vec<(String, i32)>>>,
}

impl View {
    /// Looks at everything, no earlier than now.
    pub(super) async fn look(
        inner: &Inner,
        client: &zk::Client,
        checks: &[Check],
        mutations: &[Mutation],
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let keys: BTreeSet<&Key> =
            checks.iter().filter_map(checked).chain(mutations.iter().map(Mutation::key)).collect();
        let mut view = Self::default();
        let first = concerned(&keys, mutations);
        // Sent first, so it is answered first, and what is read after it is no older.
        let sync = answer(deadline, Request::Reads, client.sync("/"));
        let stats = read::stats(client, first.iter().map(String::as_str), deadline);
        let ((), stats) = futures::future::try_join(sync, stats).await?;
        view.saw(first, stats);
        view.look_above(client, &keys, deadline).await?;
        view.read_states(client, &keys, mutations, deadline).await?;
        for check in checks {
            if let Check::LockHeld(grant) = check {
                let place = match inner.sessions.place(grant) {
                    Some(known) => Some(known),
                    None => inner.find_place(client, grant, deadline).await?,
                };
                view.locks.push((grant.clone(), place));
            }
        }
        for mutation in mutations.iter().filter(|mutation| owner(mutation).is_some()) {
            view.look_below(inner, client, mutation.key(), deadline).await?;
        }
        Ok(view)
    }

    fn saw(&mut self, paths: BTreeSet<String>, stats: Vec<Option<zk::Stat>>) {
        self.stats.extend(paths.into_iter().zip(stats).filter_map(|(path, stat)| Some((path, stat?))));
    }

    /// Looks for the nodes above those that do not exist. What exists has its parents, none of which is ephemeral.
    async fn look_above(
        &mut self,
        client: &zk::Client,
        keys: &BTreeSet<&Key>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let missing = |path: &&str| !self.stats.contains_key(*path);
        let of_keys: Vec<_> = keys.iter().map(|key| paths::of(key)).collect();
        let homeless = of_keys.iter().map(AsRef::as_ref).filter(missing).filter(|path| missing(&paths::parent(path)));
        let above: BTreeSet<String> = homeless.flat_map(paths::ancestors).filter(missing).map(str::to_owned).collect();
        let stats = read::stats(client, above.iter().map(String::as_str), deadline).await?;
        self.saw(above, stats);
        Ok(())
    }

    /// Tells keys from nodes that are only parents: a second look where the stat does not say.
    async fn read_states(
        &mut self,
        client: &zk::Client,
        keys: &BTreeSet<&Key>,
        mutations: &[Mutation],
        deadline: Instant,
    ) -> Result<(), Failure> {
        let coming_or_going: BTreeSet<_> = coming_or_going(mutations).collect();
        let there: Vec<_> = keys.iter().filter_map(|key| Some((*key, *self.stats.get(&*paths::of(key))?))).collect();
        let in_doubt: Vec<_> = there.iter().filter(|(_, stat)| node::is_in_doubt(stat)).collect();
        // A new value for a key that is none of these leaves its children alone.
        let may_be_kept = |key: &Key, stat: &zk::Stat| {
            coming_or_going.contains(key) || node::is_in_doubt(stat) || node::may_be_container(stat)
        };
        let parents = there.iter().filter(|(key, stat)| stat.num_children > 0 && may_be_kept(key, stat));
        let parents: Vec<_> = parents.collect();
        let keeps: Vec<_> = parents.iter().map(|(key, _)| paths::keep(&paths::of(key))).collect();
        let kept = read::stats(client, keeps.iter().map(String::as_str), deadline);
        let of_doubt: Vec<_> = in_doubt.iter().map(|(key, _)| paths::of(key)).collect();
        let asked: Vec<_> = of_doubt.iter().map(AsRef::as_ref).collect();
        let (kept, data) = futures::future::try_join(kept, read::nodes(client, &asked, deadline)).await?;
        let kept: BTreeSet<_> =
            parents.iter().zip(kept).filter_map(|((key, _), keep)| keep.map(|_| (*key).clone())).collect();
        let data: BTreeMap<_, _> = in_doubt.iter().zip(data).map(|((key, _), found)| ((*key).clone(), found)).collect();
        for key in keys {
            let Some(stat) = self.stats.get(&*paths::of(key)).copied() else {
                self.states.insert((*key).clone(), State::Missing);
                continue;
            };
            let (stat, is_key) = match data.get(*key) {
                // As long as no mark, so it is one only where it is nothing at all.
                None => (stat, stat.data_length != 0 || node::kind(&stat) != Kind::Container),
                Some(Some((data, stat))) => (*stat, node::value(data.clone(), stat).is_some()),
                Some(None) => {
                    self.states.insert((*key).clone(), State::Missing);
                    continue;
                }
            };
            let node = Node { stat, kept: kept.contains(*key) };
            self.states.insert((*key).clone(), if is_key { State::Key(node) } else { State::Parent(node) });
        }
        Ok(())
    }

    /// Looks at what is below a parent that is to become an ephemeral key.
    async fn look_below(
        &mut self,
        inner: &Inner,
        client: &zk::Client,
        key: &Key,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let State::Parent(_) = self.state(key) else { return Ok(()) };
        let tree = inner.tree(client, &Scope::Tree(key.clone()), registry_api::ReadLevel::Stale, deadline).await?;
        let only_parents = tree.entries().next().is_none()
            && tree.nodes.iter().all(|(key, node)| {
                let mut children = node.children.iter().map(|name| paths::child(&paths::of(key), name));
                children.all(|child| inner.layout.key(&child).is_some_and(|child| tree.nodes.contains_key(&child)))
            });
        // Deeper keys come later in their order, and go first.
        let nodes = tree.nodes.iter().rev().filter(|(below, _)| *below != key);
        let nodes = nodes.map(|(below, node)| (paths::of(below).into_owned(), node.stat.version)).collect();
        self.below.insert(key.clone(), only_parents.then_some(nodes));
        Ok(())
    }

    pub(super) fn state(&self, key: &Key) -> &State {
        self.states.get(key).unwrap_or(&State::Missing)
    }

    pub(super) fn stat(&self, path: &str) -> Option<&zk::Stat> {
        self.stats.get(path)
    }

    /// The nearest node above a path; `None` for the root.
    pub(super) fn nearest<'a>(&'a self, path: &'a str) -> Option<(&'a str, &'a zk::Stat)> {
        paths::ancestors(path).find_map(|above| Some((above, self.stats.get(above)?)))
    }

    /// The paths above that have no node, highest first.
    pub(super) fn missing_above(&self, path: &str) -> Vec<String> {
        let missing = paths::ancestors(path).take_while(|above| !self.stats.contains_key(*above));
        let mut missing: Vec<_> = missing.map(str::to_owned).collect();
        missing.reverse();
        missing
    }

    /// Where a checked lock is held; `None` where it is not.
    pub(super) fn place(&self, grant: &LockGrant) -> Option<&str> {
        self.locks.iter().find(|(known, _)| known == grant).and_then(|(_, place)| place.as_deref())
    }

    /// What is below a parent that is to become ephemeral, deepest first; `None` where that must not go.
    pub(super) fn below(&self, key: &Key) -> Option<&[(String, i32)]> {
        self.below.get(key).map_or(Some(&[]), |nodes| nodes.as_deref())
    }
}

/// The nodes to look at first: of the keys, and the parents of those that may be created or deleted. What is put persistently
/// is there most often, and then its parent does not matter.
fn concerned(keys: &BTreeSet<&Key>, mutations: &[Mutation]) -> BTreeSet<String> {
    let parents = coming_or_going(mutations).filter_map(Key::parent).map(|parent| paths::of(&parent).into_owned());
    keys.iter().map(|key| paths::of(key).into_owned()).chain(parents).collect()
}

/// The keys that are deleted, or put ephemerally.
fn coming_or_going(mutations: &[Mutation]) -> impl Iterator<Item = &Key> {
    let stays = |mutation: &&Mutation| matches!(mutation, Mutation::Put { lifetime: Lifetime::Persistent, .. });
    mutations.iter().filter(move |mutation| !stays(mutation)).map(Mutation::key)
}

fn checked(check: &Check) -> Option<&Key> {
    match check {
        Check::Absent(key) | Check::Present(key) | Check::At(key, _) | Check::OwnedBy(key, _) => Some(key),
        _ => None,
    }
}
