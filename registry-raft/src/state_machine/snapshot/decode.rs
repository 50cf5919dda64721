//! Reading a snapshot. Nothing in it is believed: order, limits and what refers to what are checked.

mod records;

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use registry_api::Revision;

use super::{RECORD_LEN_MAX, SnapshotError};
use crate::proto::SnapshotRecord;
use crate::proto::snapshot_record::Record;
use crate::state_machine::limits::{LIMITS, Limits};
use crate::state_machine::{Change, StateMachine};

/// Reads a snapshot piece by piece; pieces may be cut anywhere.
#[derive(Debug)]
pub(crate) struct SnapshotDecoder {
    /// What came of a record that is not complete yet: at most one record and one piece.
    rest: BytesMut,
    state: StateMachine,
    section: Section,
    records: u64,
    /// The client that the next outcome belongs to.
    client: u64,
    /// The changes of one revision, as far as they have come.
    changes: (Revision, Vec<Change>),
}

/// The sections in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Nothing,
    Header,
    Sessions,
    Entries,
    Locks,
    Clients,
    History,
    Deaths,
    End,
}

impl Default for SnapshotDecoder {
    fn default() -> Self {
        Self::with_limits(&LIMITS)
    }
}

impl SnapshotDecoder {
    /// With other limits than those of every member: for tests.
    pub(in crate::state_machine) fn with_limits(limits: &'static Limits) -> Self {
        Self {
            rest: BytesMut::new(),
            state: StateMachine::with_limits(limits),
            section: Section::Nothing,
            records: 0,
            client: 0,
            changes: (Revision::ZERO, Vec::new()),
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]: this is no snapshot; whatever comes after it does not matter.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), SnapshotError> {
        self.rest.extend_from_slice(piece);
        while let Some(record) = self.next_record()? {
            let record = SnapshotRecord::decode(record).map_err(|error| SnapshotError::damaged(error.to_string()))?;
            let record = record.record.ok_or_else(|| SnapshotError::damaged("a record of an unknown kind"))?;
            self.enter(section_of(&record))?;
            self.take(record)?;
            self.records += 1;
        }
        Ok(())
    }

    /// The state, after the last piece.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]: the snapshot is not complete, or something follows it.
    pub(crate) fn finish(self) -> Result<StateMachine, SnapshotError> {
        if self.section != Section::End || !self.rest.is_empty() {
            return Err(SnapshotError::damaged("it is cut off, or something follows its end"));
        }
        Ok(self.state)
    }

    /// The next record, when all of it is there.
    fn next_record(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        let Some((len, prefix)) = length(&self.rest)? else { return Ok(None) };
        if self.rest.len() < prefix + len {
            return Ok(None);
        }
        self.rest.advance(prefix);
        Ok(Some(self.rest.split_to(len).freeze()))
    }

    fn enter(&mut self, section: Section) -> Result<(), SnapshotError> {
        let is_first = self.section == Section::Nothing;
        let repeats_once = section == self.section && matches!(section, Section::Header | Section::End);
        if section < self.section || repeats_once || is_first != (section == Section::Header) {
            return Err(SnapshotError::damaged("its records are not in order"));
        }
        if self.section == Section::History && section != Section::History {
            self.settle_changes()?;
        }
        self.section = section;
        Ok(())
    }
}

fn section_of(record: &Record) -> Section {
    match record {
        Record::Header(_) => Section::Header,
        Record::Session(_) => Section::Sessions,
        Record::Entry(_) => Section::Entries,
        Record::Lock(_) => Section::Locks,
        Record::Client(_) | Record::Outcome(_) => Section::Clients,
        Record::Change(_) => Section::History,
        Record::Death(_) => Section::Deaths,
        Record::End(_) => Section::End,
    }
}

/// The length in front of a record, and its own length; `None` where it is cut off.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, SnapshotError> {
    // Four bytes of seven bits hold RECORD_LEN_MAX.
    let mut len = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return if len > RECORD_LEN_MAX { Err(too_long()) } else { Ok(Some((len, index + 1))) };
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(too_long()) }
}

fn too_long() -> SnapshotError {
    SnapshotError::Damaged(format!("a record is longer than {RECORD_LEN_MAX} bytes"))
}
