//! Listings: the nodes of a scope at one moment, and what of them is a key.

mod walk;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use bytes::Bytes;
use registry_api::{Child, Entry, Key, ListContents, ListOptions, Listing, ReadLevel, Revision, Scope};
use tokio::time::Instant;
use zookeeper_client as zk;

pub(crate) use self::walk::{Node, Tree};
use crate::error::Failure;
use crate::inner::Inner;
use crate::node;

impl Inner {
    pub(crate) async fn list(&self, scope: &Scope, options: &ListOptions) -> Result<Listing, Failure> {
        self.check_scope(scope)?;
        let deadline = self.deadline();
        let tree = self
            .reading(deadline, |client| async move { self.tree(&client, scope, options.read, deadline).await })
            .await?;
        Ok(page(tree.children_of(scope), tree.revision, options))
    }

    /// Reads a scope over `client`. The revision is one that the whole scope shows.
    pub(crate) async fn tree(
        &self,
        client: &zk::Client,
        scope: &Scope,
        read: ReadLevel,
        deadline: Instant,
    ) -> Result<Tree, Failure> {
        let floor = self.seen.revision();
        self.catch_up(client, read, deadline).await?;
        let mut tree = Tree::read(client, &self.layout, scope, deadline).await?;
        tree.revision = tree.revision.max(floor);
        self.seen.note(tree.revision);
        Ok(tree)
    }

    pub(crate) fn check_scope(&self, scope: &Scope) -> Result<(), Failure> {
        scope.root().map_or(Ok(()), |root| self.check_key(root))
    }
}

impl Tree {
    /// What a listing of the scope shows, in order.
    fn children_of(&self, scope: &Scope) -> BTreeMap<Key, Option<Entry>> {
        let Scope::Children(parent) = scope else {
            let entries = self.entries().filter(|entry| scope.contains(&entry.key));
            return entries.map(|entry| (entry.key.clone(), Some(entry))).collect();
        };
        let mut children = BTreeMap::new();
        for entry in self.entries() {
            if scope.contains(&entry.key) {
                children.insert(entry.key.clone(), Some(entry));
            } else if let Some(child) = child_above(&entry.key, parent) {
                children.entry(child).or_insert(None);
            }
        }
        children
    }
}

/// The child of `parent` that `key` lies below.
fn child_above(key: &Key, parent: &Key) -> Option<Key> {
    key.ancestors().find(|ancestor| ancestor.parent().as_ref() == Some(parent))
}

fn page(found: BTreeMap<Key, Option<Entry>>, revision: Revision, options: &ListOptions) -> Listing {
    let mut rest = found.into_iter().filter(|(key, _)| options.after.as_ref().is_none_or(|after| key > after));
    let limit = options.limit.map_or(usize::MAX, NonZeroUsize::get);
    let children: Vec<_> = rest
        .by_ref()
        .take(limit)
        .map(|(key, entry)| Child { key, entry: entry.map(|entry| contents(entry, options.contents)) })
        .collect();
    let next = rest.next().and_then(|_| children.last().map(|child| child.key.clone()));
    Listing { revision, children, next }
}

fn contents(entry: Entry, contents: ListContents) -> Entry {
    match contents {
        ListContents::Entries => entry,
        ListContents::KeysOnly => Entry { value: Bytes::new(), ..entry },
    }
}

/// The latest change that any of these nodes tells of.
fn latest<'a>(stats: impl Iterator<Item = &'a zk::Stat>) -> Revision {
    stats.map(node::latest).max().unwrap_or_default()
}
