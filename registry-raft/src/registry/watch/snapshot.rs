//! Snapshots of a scope, put together from their parts.

use registry_api::{Event, Listing, Revision};

use crate::convert::{ConvertError, reason_of};
use crate::proto;

/// The parts of a snapshot so far.
#[derive(Debug, Default)]
pub(super) struct Parts {
    cause: i32,
    whole: proto::ListPart,
}

impl Parts {
    /// Adds a part; whether it was the last one. Parts of another revision begin another snapshot.
    pub(super) fn add(&mut self, part: proto::SnapshotPart) -> bool {
        let proto::SnapshotPart { cause, part } = part;
        let part = part.unwrap_or_default();
        if self.whole.revision != part.revision {
            self.whole.children.clear();
        }
        self.cause = cause;
        self.whole.revision = part.revision;
        self.whole.children.extend(part.children);
        self.whole.last = part.last;
        part.last
    }

    /// The event that they are parts of.
    ///
    /// # Errors
    ///
    /// [`ConvertError`]: an entry that is none.
    pub(super) fn into_event(self) -> Result<Event, ConvertError> {
        let reason = reason_of(self.cause);
        let listing = Listing::try_from(self.whole)?;
        if listing.revision == Revision::ZERO {
            return Err(ConvertError::Invalid("a snapshot has no revision".to_owned()));
        }
        Ok(Event::Snapshot { listing, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(counter: u64, key: &str) -> proto::SnapshotPart {
        let entry = proto::Entry {
            key: key.to_owned(),
            created: Some(proto::Revision { incarnation: 1, counter: 1 }),
            modified: Some(proto::Revision { incarnation: 1, counter: 1 }),
            ..proto::Entry::default()
        };
        proto::SnapshotPart {
            cause: proto::SnapshotCause::Overflow.into(),
            part: Some(proto::ListPart {
                revision: Some(proto::Revision { incarnation: 1, counter }),
                children: vec![proto::ListedChild { key: key.to_owned(), entry: Some(entry) }],
                ..proto::ListPart::default()
            }),
        }
    }

    fn last(mut part: proto::SnapshotPart) -> proto::SnapshotPart {
        part.part.as_mut().unwrap().last = true;
        part
    }

    #[test]
    fn parts_become_one_event() {
        let mut parts = Parts::default();
        assert!(!parts.add(part(3, "/a")));
        assert!(parts.add(last(part(3, "/b"))));
        let Event::Snapshot { listing, reason } = parts.into_event().unwrap() else { panic!("no snapshot") };
        assert_eq!(reason, registry_api::SnapshotReason::Overflow);
        assert_eq!(listing.keys().map(ToString::to_string).collect::<Vec<_>>(), ["/a", "/b"]);
    }

    #[test]
    fn a_snapshot_that_begins_again_leaves_the_former_parts_out() {
        let mut parts = Parts::default();
        assert!(!parts.add(part(3, "/a")));
        assert!(parts.add(last(part(4, "/b"))));
        let Event::Snapshot { listing, .. } = parts.into_event().unwrap() else { panic!("no snapshot") };
        assert_eq!(listing.keys().map(ToString::to_string).collect::<Vec<_>>(), ["/b"]);
    }
}
