//! One check for each promise about a recorded stream of events.

use std::collections::{BTreeMap, BTreeSet};

use registry_api::{Event, Key, Revision, Scope};

use crate::Guarantee::{G12, G13};
use crate::Outcome;
use crate::broken::{ensure, ensure_eq};

fn changes(events: &[Event]) -> impl Iterator<Item = (&Key, Revision)> {
    events.iter().filter_map(|event| Some((event.key()?, event.revision())))
}

/// G13: revisions never go back.
pub(crate) fn ordered(events: &[Event]) -> Outcome {
    for (before, after) in events.iter().zip(events.iter().skip(1)) {
        ensure!(G13, before.revision() <= after.revision(), "{after:?} came after {before:?}");
    }
    Ok(())
}

/// G13: no change is told twice.
pub(crate) fn unique(events: &[Event]) -> Outcome {
    let mut seen = BTreeSet::new();
    for (key, revision) in changes(events) {
        ensure!(G13, seen.insert((revision, key)), "{key} at {revision} was told twice");
    }
    Ok(())
}

/// G13: nothing outside of the scope is told.
pub(crate) fn filtered(events: &[Event], scope: &Scope) -> Outcome {
    for (key, _) in changes(events) {
        ensure!(G13, scope.contains(key), "{key} was told to the subscriber of {scope}");
    }
    Ok(())
}

/// G12: every acknowledged change of the scope after the first event is told, unless a later snapshot covers it.
pub(crate) fn complete(events: &[Event], scope: &Scope, acknowledged: &[(Key, Revision)]) -> Outcome {
    let Some(begin) = events.first().map(Event::revision) else { return Ok(()) };
    let told: BTreeSet<_> = changes(events).collect();
    let snapshots = events.iter().skip(1).filter(|event| matches!(event, Event::Snapshot { .. }));
    let covered = snapshots.map(Event::revision).max().unwrap_or(begin).max(begin);
    for (key, revision) in acknowledged {
        let due = scope.contains(key) && *revision > covered;
        ensure!(G12, !due || told.contains(&(key, *revision)), "{key} at {revision} was never told");
    }
    Ok(())
}

/// G12 where changes that follow each other quickly are told as one: every acknowledged change of the scope after the
/// first event is told, or a later one of the same key, unless a later snapshot covers it. Of a key that is `gone` in the
/// end nothing need have been told.
pub(crate) fn caught_up(
    events: &[Event],
    scope: &Scope,
    acknowledged: &[(Key, Revision)],
    gone: impl Fn(&Key) -> bool,
) -> Outcome {
    let mut last: BTreeMap<&Key, Revision> = BTreeMap::new();
    for (key, revision) in changes(events) {
        last.insert(key, revision);
    }
    let told = |(key, revision): &&(Key, Revision)| gone(key) || last.get(key).is_some_and(|last| last >= revision);
    let missing: Vec<_> = acknowledged.iter().filter(|change| !told(change)).cloned().collect();
    complete(events, scope, &missing)
}

/// G12 and G13: a subscription that resumed after `from` tells what the whole one told after it.
pub(crate) fn resumable(whole: &[Event], resumed: &[Event], from: Revision) -> Outcome {
    let expected: Vec<_> = changes(whole).filter(|(_, revision)| *revision > from).collect();
    let told: Vec<_> = changes(resumed).collect();
    let count = expected.len().min(told.len());
    ensure_eq!(G12, told.get(..count), expected.get(..count), "what was told after resuming from {from}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use registry_api::{Entry, Listing, SnapshotReason};

    use super::*;

    fn key(name: &str) -> Key {
        Key::parse(name).unwrap()
    }

    fn revision(counter: u64) -> Revision {
        Revision::new(1, counter)
    }

    fn put(name: &str, counter: u64) -> Event {
        let modified = revision(counter);
        let entry = Entry { key: key(name), value: Bytes::new(), created: modified, modified, owner: None };
        Event::Put { entry, previous: None }
    }

    fn snapshot(counter: u64) -> Event {
        let listing = Listing { revision: revision(counter), ..Listing::default() };
        Event::Snapshot { listing, reason: SnapshotReason::Initial }
    }

    fn stream() -> Vec<Event> {
        vec![snapshot(1), put("/a/1", 2), put("/a/2", 3), put("/a/3", 3), put("/a/1", 5)]
    }

    fn scope() -> Scope {
        Scope::Tree(key("/a"))
    }

    #[test]
    fn a_right_stream_is_accepted() {
        let acknowledged = [(key("/a/1"), revision(1)), (key("/a/1"), revision(2)), (key("/b"), revision(4))];
        ordered(&stream()).unwrap();
        unique(&stream()).unwrap();
        filtered(&stream(), &scope()).unwrap();
        complete(&stream(), &scope(), &acknowledged).unwrap();
        resumable(&stream(), &[put("/a/2", 3), put("/a/3", 3), put("/a/1", 5)], revision(2)).unwrap();
    }

    #[test]
    fn a_stream_that_goes_back_is_refused() {
        assert!(ordered(&[snapshot(1), put("/a/1", 3), put("/a/2", 2)]).is_err());
    }

    #[test]
    fn a_change_told_twice_is_refused() {
        assert!(unique(&[snapshot(1), put("/a/1", 2), put("/a/1", 2)]).is_err());
    }

    #[test]
    fn a_sibling_is_refused() {
        assert!(filtered(&[put("/a", 2), put("/ab", 3)], &scope()).is_err());
    }

    #[test]
    fn a_gap_is_refused_unless_a_snapshot_covers_it() {
        let acknowledged = [(key("/a/9"), revision(4))];
        assert!(complete(&stream(), &scope(), &acknowledged).is_err());
        let mut covered = stream();
        covered.push(snapshot(6));
        complete(&covered, &scope(), &acknowledged).unwrap();
    }

    #[test]
    fn a_change_that_a_later_one_of_its_key_replaced_need_not_be_told() {
        let replaced = [(key("/a/1"), revision(4)), (key("/a/3"), revision(2)), (key("/a/7"), revision(9))];
        let gone = |gone: &Key| *gone == key("/a/7");
        assert!(complete(&stream(), &scope(), &replaced).is_err());
        caught_up(&stream(), &scope(), &replaced, gone).unwrap();
        assert!(caught_up(&stream(), &scope(), &[(key("/a/2"), revision(4))], gone).is_err(), "the last of its key");
        assert!(caught_up(&stream(), &scope(), &[(key("/a/9"), revision(4))], gone).is_err(), "the only of its key");
    }

    #[test]
    fn resuming_elsewhere_is_refused() {
        assert!(resumable(&stream(), &[put("/a/3", 3)], revision(2)).is_err(), "one too late");
        assert!(resumable(&stream(), &[put("/a/1", 2)], revision(2)).is_err(), "one too early");
    }
}
