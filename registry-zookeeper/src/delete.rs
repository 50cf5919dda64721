//! Deleting many keys: a scope is listed, and deleted as it was seen, deepest nodes first.

use std::collections::BTreeSet;

use bytes::Bytes;
use registry_api::{DeleteOptions, Deleted, Key, LockGrant, Mutation, Precondition, ReadLevel, Scope};
use tokio::time::Instant;
use zookeeper_client as zk;

use crate::commit::{Op, Plan, as_check, give_way};
use crate::error::Failure;
use crate::inner::Inner;
use crate::list::Tree;
use crate::node::{self, GONE};
use crate::paths;

/// What goes into one multi. A larger scope is deleted in several.
const PART_LEN_MAX: usize = 512 * 1024;

impl Inner {
    pub(crate) async fn delete(&self, target: &Scope, options: &DeleteOptions) -> Result<Deleted, Failure> {
        if let Scope::Key(key) = target {
            return self.delete_one(key, &options.precondition).await;
        }
        let guard = match &options.precondition {
            Precondition::None => None,
            Precondition::LockHeld(grant) => Some(grant),
            Precondition::Absent | Precondition::At(_) | Precondition::OwnedBy(_) => {
                let message = format!("a precondition of one key cannot guard the delete of many ({target})");
                return Err(Failure::invalid(message));
            }
        };
        self.check_scope(target)?;
        let deadline = self.deadline();
        let mut done = Progress::default();
        let mut attempts = 0;
        loop {
            let begun = Instant::now();
            match self.delete_scope(target, guard, &mut done, deadline).await {
                Err(failure) if failure.is_race() => self.repair_clock(&failure, deadline).await?,
                // Parts that were deleted before stay deleted.
                Err(failure) if done.count > 0 => return Err(failure.after_a_part()),
                Err(failure) => return Err(failure),
                Ok(()) => {
                    let revision = done.revision.unwrap_or_else(|| self.seen.revision());
                    return Ok(Deleted { revision, count: done.count });
                }
            }
            attempts += 1;
            give_way(attempts, begun.elapsed(), deadline).await.map_err(|failure| done.tell(failure))?;
        }
    }

    async fn delete_one(&self, key: &Key, precondition: &Precondition) -> Result<Deleted, Failure> {
        let check = as_check(key, precondition);
        let delete = [Mutation::Delete { key: key.clone() }];
        let done = self.transact(check.as_slice(), &delete).await?;
        Ok(Deleted { revision: done.revision, count: done.deleted })
    }

    async fn delete_scope(
        &self,
        target: &Scope,
        guard: Option<&LockGrant>,
        done: &mut Progress,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let look = |client: zk::Client| async move {
            let tree = self.tree(&client, target, ReadLevel::Linearizable, deadline).await?;
            let place = match guard {
                None => None,
                Some(grant) => Some(self.find_place(&client, grant, deadline).await?.ok_or_else(Failure::lock_lost)?),
            };
            Ok((client, tree, place))
        };
        let (client, tree, place) = self.reading(deadline, look).await?;
        done.revision = done.revision.max(Some(tree.revision));
        for part in parts(doomed(&tree, target), place.as_deref()) {
            let revision = self.carry_out(&client, part.plan, deadline).await?;
            done.count += part.keys;
            done.revision = Some(revision);
        }
        if let Some(above) = above(target).filter(|_| done.count > 0) {
            self.remove_unneeded(&client, &above, deadline).await;
        }
        Ok(())
    }
}

/// The nearest node that is not deleted with a scope, and that may be needed no more without it.
fn above(target: &Scope) -> Option<String> {
    match target {
        Scope::Children(key) => Some(paths::of(key).into_owned()),
        Scope::Tree(key) => Some(paths::parent(&paths::of(key)).to_owned()),
        _ => None,
    }
}

/// What was deleted so far.
#[derive(Debug, Default)]
struct Progress {
    count: usize,
    revision: Option<registry_api::Revision>,
}

impl Progress {
    fn tell(&self, failure: Failure) -> Failure {
        if self.count > 0 { failure.after_a_part() } else { failure }
    }
}

/// The operations on one node, and whether it was a key.
struct Step {
    ops: Vec<Op>,
    is_key: bool,
}

/// Everything that goes, deepest first. A key that stays a parent of something is marked as no key any more.
fn doomed(tree: &Tree, target: &Scope) -> Vec<Step> {
    let mut gone = BTreeSet::new();
    let mut steps = Vec::new();
    // Deeper keys come later in their order.
    for (key, node) in tree.nodes.iter().rev() {
        let path = &*paths::of(key);
        let keep = paths::keep(path);
        let is_key = node::value(node.data.clone(), &node.stat).is_some() && target.contains(key);
        let kept = node.children.iter().any(|name| paths::child(path, name) == keep);
        let stays = node.children.iter().map(|name| paths::child(path, name));
        let stays = stays.filter(|child| *child != keep && !gone.contains(child)).count() > 0;
        let (path, version) = (path.to_owned(), node.stat.version);
        let mut ops = Vec::new();
        if is_key && kept {
            ops.push(Op::Delete { path: keep, version: -1 });
        }
        let unneeded = is_key || is_parent_of_ours(node, target, key);
        if unneeded && !stays {
            gone.insert(path.clone());
            ops.push(Op::Delete { path, version });
        } else if is_key {
            ops.push(Op::Write { path, data: Bytes::from_static(GONE), version });
        }
        if !ops.is_empty() {
            steps.push(Step { ops, is_key });
        }
    }
    steps
}

/// Whether a node that is only a parent may go with the tree that it is in.
fn is_parent_of_ours(node: &crate::list::Node, target: &Scope, key: &Key) -> bool {
    let only_parent = node::value(node.data.clone(), &node.stat).is_none();
    only_parent && matches!(target, Scope::Tree(_) | Scope::All) && target.contains(key)
}

struct Part {
    plan: Plan,
    keys: usize,
}

/// As few multis as the limit of a request allows; each checks the lock that guards all of them.
fn parts(steps: Vec<Step>, place: Option<&str>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for step in steps {
        let len: usize = step.ops.iter().map(Op::len).sum();
        let fits = |part: &Part| part.plan.len() + len <= PART_LEN_MAX;
        if !parts.last().is_some_and(fits) {
            let mut plan = Plan::default();
            if let Some(path) = place {
                plan.push(Op::Check { path: path.to_owned(), version: -1 });
            }
            parts.push(Part { plan, keys: 0 });
        }
        if let Some(part) = parts.last_mut() {
            part.keys += usize::from(step.is_key);
            step.ops.into_iter().for_each(|op| part.plan.push(op));
        }
    }
    parts
}
