//! Events applied to the map of a mirror, and told as changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use super::{MirrorChange, Progress, View};
use crate::follower::Follower;
use crate::{Entry, Event, Key, Listing, Revision};

/// Applies events until the registry is closed. The view changes before the change is told.
pub(super) async fn run(mut follower: Follower, view: watch::Sender<View>, changes: broadcast::Sender<MirrorChange>) {
    while let Some(event) = follower.next().await {
        let mut told = Vec::new();
        view.send_modify(|view| told = apply(view, event));
        for change in told {
            // Nobody listening is no error.
            let _listeners = changes.send(change);
        }
    }
    view.send_modify(|view| view.progress = Progress::Closed);
}

fn apply(view: &mut View, event: Event) -> Vec<MirrorChange> {
    match event {
        Event::Snapshot { listing, .. } => replace(view, listing),
        Event::Put { entry, .. } => {
            view.revision = entry.modified;
            let before = Arc::make_mut(&mut view.entries).insert(entry.key.clone(), entry.clone());
            vec![match before {
                None => MirrorChange::Added(entry),
                Some(previous) => MirrorChange::Updated { entry, previous },
            }]
        }
        Event::Delete { previous, revision } => {
            view.revision = revision;
            let removed = Arc::make_mut(&mut view.entries).remove(&previous.key);
            removed.map(MirrorChange::Removed).into_iter().collect()
        }
        Event::Progress { revision } => {
            view.revision = revision;
            Vec::new()
        }
    }
}

fn replace(view: &mut View, listing: Listing) -> Vec<MirrorChange> {
    let Listing { revision, children, .. } = listing;
    let entries: BTreeMap<_, _> =
        children.into_iter().filter_map(|child| child.entry.map(|entry| (child.key, entry))).collect();
    let mut changes = differences(&view.entries, &entries);
    changes.push(MirrorChange::Resynced);
    *view = View { entries: Arc::new(entries), revision: revision.max(Revision::ZERO), progress: Progress::Synced };
    changes
}

fn differences(before: &BTreeMap<Key, Entry>, after: &BTreeMap<Key, Entry>) -> Vec<MirrorChange> {
    let removed = before.iter().filter(|(key, _)| !after.contains_key(*key)).map(|(_, entry)| entry.clone());
    let put = after.values().filter_map(|entry| match before.get(&entry.key) {
        None => Some(MirrorChange::Added(entry.clone())),
        Some(previous) if previous == entry => None,
        Some(previous) => Some(MirrorChange::Updated { entry: entry.clone(), previous: previous.clone() }),
    });
    removed.map(MirrorChange::Removed).chain(put).collect()
}
