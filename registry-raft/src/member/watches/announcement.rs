//! A change as everybody shares it who is told of it: encoded once, by the first who sends it.

use std::sync::OnceLock;

use bytes::Bytes;
use prost::Message;
use registry_api::Revision;

use crate::convert::event_of;
use crate::state_machine::Change;

/// A change, and its event as it goes over every connection.
#[derive(Debug)]
pub(super) struct Announcement {
    change: Change,
    encoded: OnceLock<Option<Bytes>>,
}

impl From<Change> for Announcement {
    fn from(change: Change) -> Self {
        Self { change, encoded: OnceLock::new() }
    }
}

impl Announcement {
    pub(super) fn revision(&self) -> Revision {
        self.change.revision().unwrap_or_default()
    }

    /// The event; `None` for a change that is not of a key.
    pub(super) fn encoded(&self) -> Option<Bytes> {
        let encode = || event_of(&self.change).map(|event| event.encode_to_vec().into());
        self.encoded.get_or_init(encode).clone()
    }

    /// What it costs in a buffer and on the wire, in bytes.
    pub(super) fn weight(&self) -> usize {
        let entry_weight = |entry: &registry_api::Entry| entry.key.as_str().len() + entry.value.len() + 64;
        match &self.change {
            Change::Put { entry, previous } => {
                entry_weight(entry) + previous.as_ref().map_or(0, |previous| entry_weight(previous))
            }
            Change::Delete { previous, .. } => entry_weight(previous),
            Change::LockGranted { .. }
            | Change::LockGone { .. }
            | Change::SessionOpened { .. }
            | Change::SessionEnded { .. }
            | Change::ClientRegistered { .. }
            | Change::ClientEnded { .. } => 0,
        }
    }
}
