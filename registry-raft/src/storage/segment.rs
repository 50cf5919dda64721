//! Segment files of the log: their names and their header block. The layout is documented in `docs/formats/disk.md`.

use bytes::{Buf, BufMut};

use super::{
    Identity, Result, StorageError,
    frame::{put_optional, put_vote, read_optional, read_vote},
    head::Head,
};

/// Length of the header block; frames begin after it, so that it is never written again while the segment is in use.
pub(super) const SEGMENT_HEADER: u32 = 4096;
/// Greatest size of a segment file.
pub(super) const SEGMENT_LIMIT: u64 = 1 << 30;
/// Version of the log's format.
pub(super) const LOG_FORMAT: u32 = 1;
/// Name under which a new segment is prepared.
pub(super) const FRESH: &str = "fresh.seg";

const MAGIC: &[u8; 8] = b"REGLOG\r\n";
const CHECKSUM_AT: usize = 4092;

/// What the header block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) identity: Identity,
    /// Grows by one per segment, never used twice.
    pub(super) id: u64,
    /// Where the frames of the segment before this one end; 0 for the first.
    pub(super) previous_end: u32,
    /// What the log amounted to when this segment was begun: older segments are not needed to know it.
    pub(super) head: Head,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(SEGMENT_HEADER as usize);
        block.put_slice(MAGIC);
        block.put_u32_le(LOG_FORMAT);
        block.put_u32_le(self.previous_end);
        block.put_u128_le(self.identity.cluster);
        block.put_u64_le(self.identity.node);
        block.put_u64_le(self.id);
        block.put_u64_le(self.head.start);
        put_optional(&mut block, self.head.committed);
        put_optional(&mut block, self.head.purged);
        put_optional(&mut block, self.head.last);
        match self.head.vote {
            None => block.put_bytes(0, 18),
            Some(vote) => {
                block.put_u8(1);
                put_vote(&mut block, vote);
            }
        }
        block.resize(CHECKSUM_AT, 0);
        let checksum = crc32c::crc32c(&block);
        block.put_u32_le(checksum);
        block
    }

    /// Reads the header block that a segment's `bytes` begin with; `name` is for the errors.
    pub(super) fn decode(bytes: &[u8], name: &str) -> Result<Self> {
        let damaged = |what: &str| StorageError::damaged(name, 0, what);
        let block = bytes.get(..CHECKSUM_AT).ok_or_else(|| damaged("the file is shorter than its header"))?;
        let mut stored = bytes.get(CHECKSUM_AT..).unwrap_or_default();
        if stored.try_get_u32_le().ok() != Some(crc32c::crc32c(block)) {
            return Err(damaged("the checksum of the header is wrong"));
        }
        let mut rest = block.strip_prefix(MAGIC).ok_or_else(|| damaged("not a log segment"))?;
        let format = rest.try_get_u32_le().unwrap_or_default();
        if format != LOG_FORMAT {
            return Err(StorageError::Refused(format!(
                "{name} has log format {format}, this program knows {LOG_FORMAT}: start the version that wrote it"
            )));
        }
        Self::read(&mut rest).ok_or_else(|| damaged("the header makes no sense"))
    }

    fn read(rest: &mut &[u8]) -> Option<Self> {
        let previous_end = rest.try_get_u32_le().ok()?;
        let identity = Identity { cluster: rest.try_get_u128_le().ok()?, node: rest.try_get_u64_le().ok()? };
        let id = rest.try_get_u64_le().ok()?;
        let start = rest.try_get_u64_le().ok()?;
        let committed = read_optional(rest)?;
        let purged = read_optional(rest)?;
        let last = read_optional(rest)?;
        let vote = if rest.try_get_u8().ok()? == 0 { None } else { Some(read_vote(rest)?) };
        Some(Self { identity, id, previous_end, head: Head { vote, committed, purged, last, start } })
    }
}

/// Name of a segment in use.
pub(super) fn segment_name(id: u64) -> String {
    format!("log-{id:016x}.seg")
}

/// Name of a purged segment that waits to be written again.
pub(super) fn spare_name(id: u64) -> String {
    format!("spare-{id:016x}.seg")
}

/// The id in the name of a segment in use.
pub(super) fn segment_id(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("log-")?.strip_suffix(".seg")?;
    u64::from_str_radix(digits, 16).ok().filter(|id| segment_name(*id) == name)
}

/// Whether the name is one of a spare segment.
pub(super) fn is_spare(name: &str) -> bool {
    name.starts_with("spare-") && name.ends_with(".seg")
}
