//! Listings: every page of a scope at one revision.

use etcd_client::KeyValue;
use registry_api::{Child, ErrorKind, Key, ListContents, ListOptions, Listing, ReadLevel, Scope};
use tokio::time::Instant;

use super::children::Children;
use super::range::{KeyRange, after, bytes};
use super::scan::{Reading, Scan};
use super::{entry, revision};
use crate::error::{Failure, Reason};
use crate::registry::Core;

impl Core {
    /// Lists a scope. A listing that the store compacted away in the middle begins again.
    pub(crate) async fn list(&self, scope: &Scope, options: &ListOptions) -> Result<Listing, Failure> {
        self.lock_root.check_scope(scope)?;
        let deadline = self.connection.deadline();
        let mut level = options.read;
        loop {
            let reading = Reading { contents: options.contents, level, deadline };
            let listed = self.list_once(scope, options, reading).await;
            let again = match &listed {
                // A member may be behind what this client has seen, or behind the page before: another is asked.
                Ok(listing) => level == ReadLevel::Stale && listing.revision < revision(self.connection.seen()),
                Err(failure) => matches!(failure.reason, Reason::Compacted | Reason::NotYet),
            };
            if !again || Instant::now() >= deadline {
                return listed.map_err(|failure| match failure.reason {
                    Reason::Compacted | Reason::NotYet => Failure::refused(
                        ErrorKind::DeadlineExceeded,
                        "the store was compacted faster than the scope could be listed",
                    ),
                    _ => failure,
                });
            }
            level = ReadLevel::Linearizable;
        }
    }

    async fn list_once(&self, scope: &Scope, options: &ListOptions, reading: Reading) -> Result<Listing, Failure> {
        let mut scan = Scan::new(&self.connection, self.lock_root.visible(scope), reading);
        if let Some(last) = &options.after {
            scan.go_to(after(bytes(last)));
        }
        let limit = options.limit.map_or(usize::MAX, std::num::NonZeroUsize::get);
        let children = match scope {
            Scope::Children(parent) => self.children(&mut scan, parent, options, limit).await?,
            Scope::Key(_) | Scope::Tree(_) | Scope::All => entries(&mut scan, options, limit).await?,
        };
        self.connection.saw(scan.revision());
        Ok(page(children, limit, scan.revision()))
    }

    /// The direct children, also those that are only parents. What lies deeper is jumped over.
    async fn children(
        &self,
        scan: &mut Scan<'_>,
        parent: &Key,
        options: &ListOptions,
        limit: usize,
    ) -> Result<Vec<Child>, Failure> {
        let mut children = Children::new(parent, options.after.as_ref(), limit);
        while let Some(found) = scan.next_page().await? {
            let mut jump = None;
            for found in &found {
                if jump.as_ref().is_some_and(|range: &KeyRange| range.contains(found.key())) {
                    continue;
                }
                jump = children.add(found.key(), || shown(found, options.contents));
            }
            if let Some(deeper) = jump {
                scan.go_to(deeper.end);
            }
            if children.are_enough() {
                break;
            }
        }
        Ok(children.into_list())
    }
}

/// At most one more than the limit, to tell whether another page follows.
async fn entries(scan: &mut Scan<'_>, options: &ListOptions, limit: usize) -> Result<Vec<Child>, Failure> {
    let mut children = Vec::new();
    while let Some(found) = scan.next_page().await? {
        let entries = found.iter().filter_map(|found| shown(found, options.contents));
        children.extend(entries.map(|entry| Child { key: entry.key.clone(), entry: Some(entry) }));
        if children.len() > limit {
            break;
        }
    }
    Ok(children)
}

fn shown(found: &KeyValue, contents: ListContents) -> Option<registry_api::Entry> {
    let mut entry = entry(found)?;
    if contents == ListContents::KeysOnly {
        entry.value = bytes::Bytes::new();
    }
    Some(entry)
}

fn page(mut children: Vec<Child>, limit: usize, at: i64) -> Listing {
    let more = children.len() > limit;
    children.truncate(limit);
    let next = children.last().filter(|_| more).map(|child| child.key.clone());
    Listing { revision: revision(at), children, next }
}
