//! The multi of a transaction: operations that fail together if anything changed since it was seen.

use std::collections::BTreeSet;

use bytes::Bytes;
use registry_api::{Check, ErrorKind, Key, Lifetime, Mutation, Revision};
use tokio::time::Instant;
use zookeeper_client as zk;

use super::view::{Node, State, View};
use crate::call::answer;
use crate::connect::Dialer;
use crate::error::{Failure, Request};
use crate::node::{self, ABSENT, GONE, Kind};
use crate::paths;

/// What a server takes in one request (`jute.maxbuffer` is 1 MiB less one byte), with room for what surrounds it.
const REQUEST_LEN_MAX: usize = 1_000_000;
/// What an operation needs besides its path and data, access list included.
const OP_LEN: usize = 96;
/// Any version.
const ANY: i32 = -1;

/// One operation of a multi.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Check { path: String, version: i32 },
    Create { path: String, data: Bytes, mode: zk::CreateMode },
    Write { path: String, data: Bytes, version: i32 },
    Delete { path: String, version: i32 },
}

/// Operations in their order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    ops: Vec<Op>,
    /// Paths whose absence is asserted.
    absent: BTreeSet<String>,
    /// Parents that may be needed no more.
    emptied: Vec<String>,
    /// How many keys it deletes.
    deleted: usize,
}

impl View {
    /// The operations that make the mutations, given that everything is still as it was seen.
    pub(super) fn plan(&self, checks: &[Check], mutations: &[Mutation]) -> Result<Plan, Failure> {
        let mut plan = Plan::default();
        let changed: BTreeSet<_> =
            mutations.iter().filter(|mutation| self.changes(mutation)).map(Mutation::key).collect();
        for check in checks {
            self.plan_check(&mut plan, check, &changed);
        }
        let alone = checks.is_empty() && mutations.len() == 1;
        let mut deletes = Vec::new();
        let mut puts = Vec::new();
        for mutation in mutations {
            match mutation {
                Mutation::Delete { key } if changed.contains(key) => deletes.push(key),
                // By itself it is as it was seen; with others it has to be so at the moment of their change.
                Mutation::Delete { key } if !alone => self.assert_no_key(&mut plan, key),
                Mutation::Delete { .. } => {}
                Mutation::Put { key, value, lifetime, .. } => puts.push((key, value, *lifetime)),
                // Refused before.
                _ => {}
            }
        }
        // Deeper keys come later in their order, and go first; parents come first, and are created first.
        deletes.sort_unstable_by(|one, other| other.cmp(one));
        puts.sort_unstable_by_key(|(key, ..)| *key);
        let mut removed = BTreeSet::new();
        for key in deletes {
            let refilled = puts.iter().filter(|(put, ..)| put.is_below(key)).count();
            self.plan_delete(&mut plan, &mut removed, key, refilled);
        }
        let mut created = BTreeSet::new();
        for (key, value, lifetime) in puts {
            self.plan_put(&mut plan, &mut created, key, value, lifetime);
        }
        plan.check_len()?;
        Ok(plan)
    }

    fn changes(&self, mutation: &Mutation) -> bool {
        match mutation {
            Mutation::Put { .. } => true,
            Mutation::Delete { key } => matches!(self.state(key), State::Key(_)),
            _ => false,
        }
    }

    fn plan_check(&self, plan: &mut Plan, check: &Check, changed: &BTreeSet<&Key>) {
        match check {
            Check::LockHeld(grant) => {
                if let Some(path) = self.place(grant) {
                    plan.ops.push(Op::Check { path: path.to_owned(), version: ANY });
                }
            }
            // What changes a key fails by itself if the key is not as it was seen.
            Check::Absent(key) | Check::Present(key) | Check::At(key, _) | Check::OwnedBy(key, _)
                if changed.contains(key) => {}
            Check::Absent(key) => self.assert_no_key(plan, key),
            Check::Present(key) | Check::At(key, _) | Check::OwnedBy(key, _) => {
                if let State::Key(node) = self.state(key) {
                    plan.ops.push(Op::Check { path: paths::of(key).into_owned(), version: node.stat.version });
                }
            }
            _ => {}
        }
    }

    /// Fails the multi if the key exists by then. ZooKeeper has no check for that, but what can be created did not exist;
    /// it is deleted at once.
    fn assert_no_key(&self, plan: &mut Plan, key: &Key) {
        if let State::Parent(node) = self.state(key) {
            plan.ops.push(Op::Check { path: paths::of(key).into_owned(), version: node.stat.version });
            return;
        }
        if let Some((path, stat)) = self.nearest(&paths::of(key)).filter(|(_, stat)| is_ephemeral(stat)) {
            plan.ops.push(Op::Check { path: path.to_owned(), version: stat.version });
            return;
        }
        let highest = self.missing_above(&paths::of(key)).into_iter().next();
        let path = highest.unwrap_or_else(|| paths::of(key).into_owned());
        if plan.absent.insert(path.clone()) {
            plan.ops.push(Op::Create { path: path.clone(), data: Bytes::new(), mode: zk::CreateMode::Persistent });
            plan.ops.push(Op::Delete { path, version: ANY });
        }
    }

    /// A key whose children stay becomes only their parent. `removed` are the nodes that go before it, `refilled` tells
    /// how many come below it.
    fn plan_delete(&self, plan: &mut Plan, removed: &mut BTreeSet<Key>, key: &Key, refilled: usize) {
        let State::Key(node) = self.state(key) else { return };
        plan.deleted += 1;
        let leaving = removed.iter().filter(|below| below.parent().as_ref() == Some(key)).count();
        let left = usize::try_from(node.children()).unwrap_or(0).saturating_sub(leaving);
        if node.kept {
            plan.ops.push(Op::Delete { path: paths::keep(&paths::of(key)), version: ANY });
        }
        let (path, version) = (paths::of(key).into_owned(), node.stat.version);
        if refilled + left > 0 {
            plan.ops.push(Op::Write { path, data: Bytes::from_static(GONE), version });
        } else {
            removed.insert(key.clone());
            plan.ops.push(Op::Delete { path, version });
        }
        let path = paths::of(key);
        let parent = paths::parent(&path);
        if self.stat(parent).is_some_and(node::may_be_gone) {
            plan.emptied.push(parent.to_owned());
        }
    }

    fn plan_put(&self, plan: &mut Plan, created: &mut BTreeSet<String>, key: &Key, value: &Bytes, lifetime: Lifetime) {
        let path = paths::of(key).into_owned();
        let mode = match lifetime {
            Lifetime::Persistent => zk::CreateMode::Persistent,
            Lifetime::Ephemeral(_) => zk::CreateMode::Ephemeral,
        };
        match (self.state(key), lifetime) {
            (State::Missing, _) => {
                for above in self.missing_above(&path) {
                    if created.insert(above.clone()) {
                        let data = Bytes::from_static(ABSENT);
                        plan.ops.push(Op::Create { path: above, data, mode: zk::CreateMode::Container });
                    }
                }
                created.insert(path.clone());
                plan.ops.push(Op::Create { path, data: value.clone(), mode });
            }
            (State::Parent(node), Lifetime::Ephemeral(_)) => {
                let below = self.below(key).unwrap_or_default();
                let deletes = below.iter().map(|(path, version)| Op::Delete { path: path.clone(), version: *version });
                plan.ops.extend(deletes);
                plan.replace(path, node.stat.version, value.clone());
            }
            (State::Key(node), Lifetime::Ephemeral(session)) if node.kind() != Kind::Ephemeral(session) => {
                plan.replace(path, node.stat.version, value.clone());
            }
            (State::Parent(node), _) => {
                plan.keep(&path, node);
                plan.write(path, node, value);
            }
            (State::Key(node), _) => {
                if node::may_be_container(&node.stat) {
                    plan.keep(&path, node);
                }
                plan.write(path, node, value);
            }
        }
    }
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    pub(crate) fn push(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// An ephemeral node in place of another: subscribers read it back as one put.
    fn replace(&mut self, path: String, version: i32, data: Bytes) {
        self.ops.push(Op::Delete { path: path.clone(), version });
        self.ops.push(Op::Create { path, data, mode: zk::CreateMode::Ephemeral });
    }

    /// The servers remove a container after its last child, but no key: one that may be a container gets a child that stays.
    fn keep(&mut self, path: &str, node: &Node) {
        if !node.kept {
            let (path, mode) = (paths::keep(path), zk::CreateMode::Persistent);
            self.ops.push(Op::Create { path, data: Bytes::new(), mode });
        }
    }

    fn write(&mut self, path: String, node: &Node, value: &Bytes) {
        let data = Bytes::copy_from_slice(node::data(value, node.kind()));
        self.ops.push(Op::Write { path, data, version: node.stat.version });
    }

    /// The parents that may be needed no more after the commit.
    pub(super) fn emptied(&self) -> impl Iterator<Item = &str> {
        self.emptied.iter().map(String::as_str)
    }

    /// How many keys it deletes, of those that a transaction names.
    pub(super) fn deleted(&self) -> usize {
        self.deleted
    }

    pub(crate) fn len(&self) -> usize {
        self.ops.iter().map(Op::len).sum()
    }

    fn check_len(&self) -> Result<(), Failure> {
        if self.len() <= REQUEST_LEN_MAX {
            return Ok(());
        }
        let message = format!("the change needs {} bytes in one request; at most {REQUEST_LEN_MAX} go", self.len());
        Err(Failure::refused(ErrorKind::LimitExceeded, message))
    }

    /// Commits, and writes the clock; `None` where there is nothing to do.
    pub(crate) async fn commit(
        mut self,
        client: &zk::Client,
        dialer: &Dialer,
        clock: String,
        deadline: Instant,
    ) -> Result<Option<Revision>, Failure> {
        if self.ops.is_empty() {
            return Ok(None);
        }
        // The answers to deletes and checks do not say when they were; that to a write does, on every server.
        self.ops.push(Op::Write { path: clock, data: Bytes::new(), version: ANY });
        let mut multi = client.new_multi_writer();
        for op in &self.ops {
            op.add_to(&mut multi, dialer).map_err(|error| Failure::of(error, Request::Changes))?;
        }
        let commit = multi.commit();
        let commit = async { commit.await.map_err(zk::Error::from) };
        let results = answer(deadline, Request::Changes, commit).await?;
        match results.last() {
            Some(zk::MultiWriteResult::SetData { stat }) => Ok(Some(node::revision(stat.mzxid))),
            other => {
                let message = format!("the server answered another request: {other:?}");
                Err(Failure::of(zk::Error::UnexpectedError(message), Request::Changes))
            }
        }
    }
}

impl Op {
    fn add_to(&self, multi: &mut zk::MultiWriter<'_>, dialer: &Dialer) -> Result<(), zk::Error> {
        match self {
            Self::Check { path, version } => multi.add_check_version(path, *version),
            Self::Create { path, data, mode } => multi.add_create(path, data, &dialer.created(*mode)),
            Self::Write { path, data, version } => multi.add_set_data(path, data, Some(*version)),
            Self::Delete { path, version } => multi.add_delete(path, Some(*version)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        OP_LEN
            + match self {
                Self::Check { path, .. } | Self::Delete { path, .. } => path.len(),
                Self::Create { path, data, .. } | Self::Write { path, data, .. } => path.len() + data.len(),
            }
    }
}

fn is_ephemeral(stat: &zk::Stat) -> bool {
    matches!(node::kind(stat), Kind::Ephemeral(_))
}
