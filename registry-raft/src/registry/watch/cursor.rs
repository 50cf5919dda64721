//! How far a subscription is, exactly: also in the middle of a revision that changed many keys.

use registry_api::{Event, Revision, Scope};

use crate::proto;

/// Where a subscription is, and where it goes on.
///
/// The events of one revision (the delete of a tree, the end of a session) can be cut by a lost connection. So the
/// cursor resumes after the last revision that is complete, and passes over the events of the next one that it has
/// already: every member sends the events of a revision in the same order, that of the state machine.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Every event up to here was delivered; `None` before the first snapshot.
    complete: Option<Revision>,
    /// The revision of the last events, and how many of it were delivered: there may be more.
    partial: Option<(Revision, usize)>,
    /// How many events of `partial` are still to be passed over after resuming.
    pass_over: usize,
}

impl Cursor {
    /// Begins after a revision, or with a snapshot.
    pub(super) fn new(after: Option<Revision>) -> Self {
        Self { complete: after, partial: None, pass_over: 0 }
    }

    /// Asks a member to go on from here, at a state that shows at least `seen`.
    pub(super) fn resume(&mut self, scope: &Scope, seen: Revision, credit: u64) -> proto::Subscribe {
        self.pass_over = self.partial.map_or(0, |(_revision, delivered)| delivered);
        let reached = self.partial.map(|(revision, _delivered)| revision).or(self.complete);
        let at_least = reached.map_or(seen, |reached| reached.max(seen));
        proto::Subscribe {
            scope: Some(scope.into()),
            after: self.complete.map(Into::into),
            at_least: (at_least != Revision::ZERO).then(|| at_least.into()),
            credit,
        }
    }

    /// A snapshot was delivered: everything up to its revision.
    pub(super) fn snapshot(&mut self, revision: Revision) {
        *self = Self::new(Some(revision));
    }

    /// Whether an event is new, which it then is no longer.
    pub(super) fn admits(&mut self, event: &Event) -> bool {
        let revision = event.revision();
        if let Event::Progress { .. } = event {
            return self.progress(revision);
        }
        if self.complete.is_some_and(|complete| revision <= complete) {
            return false;
        }
        match &mut self.partial {
            Some((partial, delivered)) if *partial == revision => {
                if self.pass_over > 0 {
                    self.pass_over -= 1;
                    return false;
                }
                *delivered += 1;
            }
            Some((partial, _delivered)) if revision < *partial => return false,
            partial => {
                self.complete = partial.map(|(revision, _delivered)| revision).or(self.complete);
                *partial = Some((revision, 1));
                self.pass_over = 0;
            }
        }
        true
    }

    /// Progress says that a revision is complete; it tells nothing new when the cursor was there before.
    fn progress(&mut self, revision: Revision) -> bool {
        let reached = self.partial.map(|(revision, _delivered)| revision).or(self.complete);
        if reached.is_some_and(|reached| revision < reached) {
            return false;
        }
        *self = Self::new(Some(revision));
        true
    }
}

#[cfg(test)]
mod tests {
    use registry_api::{Entry, Key};

    use super::*;

    fn put(key: &str, counter: u64) -> Event {
        let modified = Revision::new(1, counter);
        let key = Key::parse(key).unwrap();
        let entry = Entry { key, value: bytes::Bytes::new(), created: modified, modified, owner: None };
        Event::Put { entry, previous: None }
    }

    fn progress(counter: u64) -> Event {
        Event::Progress { revision: Revision::new(1, counter) }
    }

    fn resume(cursor: &mut Cursor) -> Option<u64> {
        cursor.resume(&Scope::All, Revision::ZERO, 1).after.map(|revision| revision.counter)
    }

    #[test]
    fn a_subscription_resumes_after_the_last_complete_revision() {
        let mut cursor = Cursor::new(None);
        assert_eq!(resume(&mut cursor), None);
        cursor.snapshot(Revision::new(1, 5));
        assert_eq!(resume(&mut cursor), Some(5));
        assert!(cursor.admits(&put("/a", 6)));
        assert_eq!(resume(&mut cursor), Some(5), "revision 6 may have more events");
        assert!(!cursor.admits(&put("/a", 6)), "the same event again");
        assert!(cursor.admits(&put("/b", 6)), "the rest of revision 6");
        assert!(cursor.admits(&put("/a", 7)));
        assert_eq!(resume(&mut cursor), Some(6));
    }

    #[test]
    fn a_revision_that_was_cut_is_delivered_once() {
        let mut cursor = Cursor::new(Some(Revision::new(1, 1)));
        assert!(cursor.admits(&put("/a", 2)));
        assert!(cursor.admits(&put("/b", 2)));
        resume(&mut cursor);
        let delivered: Vec<_> = ["/a", "/b", "/c"].into_iter().filter(|key| cursor.admits(&put(key, 2))).collect();
        assert_eq!(delivered, ["/c"]);
        resume(&mut cursor);
        let delivered: Vec<_> = ["/a", "/b", "/c"].into_iter().filter(|key| cursor.admits(&put(key, 2))).collect();
        assert!(delivered.is_empty(), "{delivered:?}");
        assert!(cursor.admits(&put("/d", 3)));
    }

    #[test]
    fn progress_completes_a_revision_and_never_goes_back() {
        let mut cursor = Cursor::new(Some(Revision::new(1, 1)));
        assert!(cursor.admits(&put("/a", 4)));
        assert!(!cursor.admits(&progress(3)));
        assert!(cursor.admits(&progress(4)));
        assert_eq!(resume(&mut cursor), Some(4));
        assert!(!cursor.admits(&put("/a", 4)));
        assert!(cursor.admits(&put("/a", 5)));
    }
}
