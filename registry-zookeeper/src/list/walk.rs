//! Walking a part of the tree, level by level, and looking at the whole of it once more at one moment.

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_api::{Entry, Key, Revision, Scope};
use tokio::time::Instant;
use zookeeper_client as zk;

use super::latest;
use crate::call::answer;
use crate::error::{Failure, Request};
use crate::node;
use crate::paths::{self, Layout};
use crate::read::unexpected;

/// How many nodes are read by one request, and so at one moment: what a server takes in one request, with room for long
/// names (`jute.maxbuffer` is 1 MiB).
const NODES_MAX: usize = 2000;
/// The most bytes of paths in one request; each path is sent twice.
const PATHS_LEN_MAX: usize = 200 * 1024;

/// A node with its data and the names of its children.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) data: Bytes,
    pub(crate) stat: zk::Stat,
    pub(crate) children: Vec<String>,
}

/// The nodes of a scope. Those that no key can name are left out.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) nodes: BTreeMap<Key, Node>,
    pub(crate) revision: Revision,
}

impl Tree {
    /// Reads until one look, at one moment, has shown everything. Where that is too much for one request, the parts are
    /// of different moments.
    pub(super) async fn read(
        client: &zk::Client,
        layout: &Layout,
        scope: &Scope,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let mut wanted = vec![paths::root(scope).into_owned()];
        let clock = layout.clock();
        loop {
            let (found, at_once, now) = look(client, &wanted, &clock, deadline).await?;
            let further = further(&found, layout, scope);
            let complete = further.iter().all(|path| found.contains_key(path));
            if complete {
                return Ok(Self::new(found, layout, now));
            }
            let known: Vec<_> = if at_once { found.into_keys().collect() } else { Vec::new() };
            if !at_once {
                return Self::read_in_parts(client, layout, scope, deadline).await;
            }
            wanted = known;
            wanted.extend(further);
            wanted.sort_unstable();
            wanted.dedup();
        }
    }

    /// Reads each node once, level by level.
    async fn read_in_parts(
        client: &zk::Client,
        layout: &Layout,
        scope: &Scope,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let mut found = BTreeMap::new();
        let mut wanted = vec![paths::root(scope).into_owned()];
        let (clock, mut begun) = (layout.clock(), None);
        while !wanted.is_empty() {
            let (level, _, now) = look(client, &wanted, &clock, deadline).await?;
            begun.get_or_insert(now);
            wanted = further(&level, layout, scope).into_iter().filter(|path| !level.contains_key(path)).collect();
            found.extend(level);
        }
        Ok(Self::new(found, layout, begun.unwrap_or_default()))
    }

    fn new(found: BTreeMap<String, Node>, layout: &Layout, now: Revision) -> Self {
        let revision = latest(found.values().map(|node| &node.stat)).max(now);
        let nodes = found.into_iter().filter_map(|(path, node)| Some((layout.key(&path)?, node))).collect();
        Self { nodes, revision }
    }

    /// The keys among the nodes.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.nodes.iter().filter_map(|(key, node)| {
            let value = node::value(node.data.clone(), &node.stat)?;
            Some(node::entry(key.clone(), value, &node.stat))
        })
    }
}

/// The children that have to be looked at, given what was found.
fn further(found: &BTreeMap<String, Node>, layout: &Layout, scope: &Scope) -> Vec<String> {
    let mut further = Vec::new();
    for (path, node) in found {
        if !is_descended(path, node, scope) {
            continue;
        }
        let children = node.children.iter().map(|name| paths::child(path, name));
        further.extend(children.filter(|child| layout.key(child).is_some()));
    }
    further
}

/// Whether what is below a node matters. The children of a scope of children matter only where the child is no key by
/// itself: then it is named if there is a key anywhere below.
fn is_descended(path: &str, node: &Node, scope: &Scope) -> bool {
    match scope {
        Scope::Key(_) => false,
        Scope::Tree(_) | Scope::All => true,
        Scope::Children(parent) => path == paths::of(parent) || node::value(node.data.clone(), &node.stat).is_none(),
    }
}

/// Reads these nodes; the flag says whether all at one moment, and the revision is that of the first moment.
async fn look(
    client: &zk::Client,
    wanted: &[String],
    clock: &str,
    deadline: Instant,
) -> Result<(BTreeMap<String, Node>, bool, Revision), Failure> {
    let mut found = BTreeMap::new();
    let mut begun = None;
    let mut rest = wanted;
    let mut parts = 0;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(part_len(rest));
        let (part, now) = look_once(client, part, clock, deadline).await?;
        begun.get_or_insert(now);
        found.extend(part);
        rest = after;
        parts += 1;
    }
    Ok((found, parts <= 1, begun.unwrap_or_default()))
}

/// How many of these paths go into one request: at least one.
fn part_len(paths: &[String]) -> usize {
    let mut bytes = 0;
    let fits = paths.iter().take(NODES_MAX).take_while(|path| {
        bytes += path.len();
        bytes <= PATHS_LEN_MAX
    });
    fits.count().max(1)
}

async fn look_once(
    client: &zk::Client,
    paths: &[String],
    clock: &str,
    deadline: Instant,
) -> Result<(BTreeMap<String, Node>, Revision), Failure> {
    let mut reader = client.new_multi_reader();
    let refused = |error| Failure::of(error, Request::Reads);
    for path in paths {
        reader.add_get_data(path).map_err(refused)?;
        reader.add_get_children(path).map_err(refused)?;
    }
    reader.add_get_data(clock).map_err(refused)?;
    let mut results = answer(deadline, Request::Reads, reader.commit()).await?;
    let now = match results.pop() {
        Some(zk::MultiReadResult::Data { stat, .. }) => node::latest(&stat),
        _ => Revision::ZERO,
    };
    let mut results = results.into_iter();
    let mut found = BTreeMap::new();
    for path in paths {
        match (results.next(), results.next()) {
            (Some(zk::MultiReadResult::Data { data, stat }), Some(zk::MultiReadResult::Children { children })) => {
                found.insert(path.clone(), Node { data: data.into(), stat, children });
            }
            (Some(zk::MultiReadResult::Error { err }), _) | (_, Some(zk::MultiReadResult::Error { err })) => {
                if err != zk::Error::NoNode {
                    return Err(refused(err));
                }
            }
            (Some(other), _) => return Err(unexpected(&other)),
            (None, _) => return Err(refused(zk::Error::UnexpectedError("an answer is missing".to_owned()))),
        }
    }
    Ok((found, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_at_least_one_path_and_at_most_what_a_server_takes() {
        let long = vec!["/".to_owned() + &"a".repeat(PATHS_LEN_MAX); 2];
        assert_eq!(part_len(&long), 1);
        let many = vec!["/a".to_owned(); NODES_MAX + 1];
        assert_eq!(part_len(&many), NODES_MAX);
        let some = vec!["/a".to_owned(); 7];
        assert_eq!(part_len(&some), 7);
    }
}
