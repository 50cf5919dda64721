//! Conversion of events. A snapshot event comes in parts on the wire; whoever collects them converts the whole.

use registry_api::{Entry, Event, SnapshotReason};

use super::{ConvertError, required};
use crate::proto;
use crate::state_machine::Change;

impl From<proto::PutEvent> for proto::WatchEvent {
    fn from(put: proto::PutEvent) -> Self {
        Self { event: Some(proto::watch_event::Event::Put(put)) }
    }
}

impl From<proto::DeleteEvent> for proto::WatchEvent {
    fn from(delete: proto::DeleteEvent) -> Self {
        Self { event: Some(proto::watch_event::Event::Delete(delete)) }
    }
}

/// The event that subscribers see; `None` for a change that is not of a key.
pub(crate) fn event_of(change: &Change) -> Option<proto::WatchEvent> {
    match change {
        Change::Put { entry, previous } => {
            let previous = previous.as_ref().map(|entry| (&**entry).into());
            Some(proto::PutEvent { entry: Some((&**entry).into()), previous }.into())
        }
        Change::Delete { previous, revision } => {
            let previous = Some((&**previous).into());
            Some(proto::DeleteEvent { previous, revision: Some((*revision).into()) }.into())
        }
        _ => None,
    }
}

/// A put, a delete or progress. A snapshot part is refused.
impl TryFrom<proto::WatchEvent> for Event {
    type Error = ConvertError;

    fn try_from(event: proto::WatchEvent) -> Result<Self, ConvertError> {
        use proto::watch_event::Event as Wire;
        match event.event.ok_or(ConvertError::Unknown("an event"))? {
            Wire::Snapshot(_) => Err(ConvertError::invalid("a part of a snapshot is no event by itself")),
            Wire::Put(put) => Ok(Self::Put {
                entry: Entry::try_from(required(put.entry, "entry")?)?,
                previous: put.previous.map(Entry::try_from).transpose()?,
            }),
            Wire::Delete(delete) => Ok(Self::Delete {
                previous: Entry::try_from(required(delete.previous, "entry")?)?,
                revision: required(delete.revision, "revision")?.into(),
            }),
            Wire::Progress(revision) => Ok(Self::Progress { revision: revision.into() }),
        }
    }
}

/// Why a snapshot is sent, on the wire.
pub(crate) fn cause_of(reason: SnapshotReason) -> proto::SnapshotCause {
    match reason {
        SnapshotReason::Initial => proto::SnapshotCause::Initial,
        SnapshotReason::Compacted => proto::SnapshotCause::Compacted,
        SnapshotReason::Overflow => proto::SnapshotCause::Overflow,
        SnapshotReason::Restored => proto::SnapshotCause::Restored,
        _ => proto::SnapshotCause::Unspecified,
    }
}

/// Why a snapshot was sent; a cause that this version does not know is an interruption like any other.
pub(crate) fn reason_of(cause: i32) -> SnapshotReason {
    match proto::SnapshotCause::try_from(cause) {
        Ok(proto::SnapshotCause::Initial) => SnapshotReason::Initial,
        Ok(proto::SnapshotCause::Compacted) => SnapshotReason::Compacted,
        Ok(proto::SnapshotCause::Overflow) => SnapshotReason::Overflow,
        Ok(proto::SnapshotCause::Restored) => SnapshotReason::Restored,
        Ok(proto::SnapshotCause::Unspecified) | Err(_) => SnapshotReason::Reconnected,
    }
}
