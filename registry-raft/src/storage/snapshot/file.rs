//! The format of a snapshot file: a checksummed header, the data, a checksummed trailer. See `docs/formats/disk.md`.

use bytes::{Buf, BufMut, Bytes};

use super::SnapshotMeta;
use crate::storage::{
    Result, StorageError,
    frame::{put_optional, read_optional},
    io::NamedFile,
};

/// Version of the format.
pub(super) const SNAPSHOT_FORMAT: u32 = 1;
/// Greatest length of the header.
pub(super) const HEADER_LIMIT: usize = 1 << 20;
/// Length of the trailer.
pub(super) const TRAILER: u64 = 24;

const MAGIC: &[u8; 8] = b"REGSNAP\n";
const END: &[u8; 8] = b"REGSNEND";
/// Magic, format and length of what follows.
const FIXED: usize = 16;

/// Magic, format, length and content of the header, checksum.
pub(super) fn encode_header(meta: &SnapshotMeta) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    put_optional(&mut content, meta.last);
    let id_length = u8::try_from(meta.id.len()).map_err(|_too_long| StorageError::TooLarge {
        what: "a snapshot id",
        bytes: meta.id.len(),
        limit: u8::MAX.into(),
    })?;
    content.put_u8(id_length);
    content.put_slice(meta.id.as_bytes());
    content.put_slice(&meta.membership);
    let length = content.len();
    let too_large = StorageError::TooLarge { what: "a snapshot header", bytes: length, limit: HEADER_LIMIT };
    let length = u32::try_from(length).ok().filter(|_| length <= HEADER_LIMIT).ok_or(too_large)?;
    let mut header = Vec::with_capacity(content.len().saturating_add(FIXED).saturating_add(4));
    header.put_slice(MAGIC);
    header.put_u32_le(SNAPSHOT_FORMAT);
    header.put_u32_le(length);
    header.put_slice(&content);
    let checksum = crc32c::crc32c(&header);
    header.put_u32_le(checksum);
    Ok(header)
}

/// Length and checksum of the data, then a checksum of both and the end mark.
pub(super) fn encode_trailer(length: u64, checksum: u32) -> Vec<u8> {
    let mut trailer = Vec::with_capacity(24);
    trailer.put_u64_le(length);
    trailer.put_u32_le(checksum);
    let own = crc32c::crc32c(&trailer);
    trailer.put_u32_le(own);
    trailer.put_slice(END);
    trailer
}

/// What the frame around the data says.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) meta: SnapshotMeta,
    pub(super) data_offset: u64,
    pub(super) data_length: u64,
    pub(super) checksum: u32,
}

/// Reads header and trailer and checks both; the data is checked as it is read.
pub(super) fn read_envelope(file: &NamedFile) -> Result<Envelope> {
    let damaged = |offset: u64, what: &str| StorageError::damaged(&file.name, offset, what);
    let fixed = file.read_up_to(0, FIXED)?;
    let mut rest = fixed.strip_prefix(MAGIC).ok_or_else(|| damaged(0, "not a snapshot"))?;
    let format = rest.try_get_u32_le().map_err(|_short| damaged(8, "the file is shorter than its header"))?;
    let length = rest.try_get_u32_le().map_err(|_short| damaged(12, "the file is shorter than its header"))? as usize;
    if length > HEADER_LIMIT {
        return Err(damaged(12, "the header's length makes no sense"));
    }
    let whole = FIXED.saturating_add(length).saturating_add(4);
    let header = file.read_up_to(0, whole)?;
    let (covered, mut stored) = header
        .split_at_checked(whole.saturating_sub(4))
        .ok_or_else(|| damaged(0, "the file is shorter than its header"))?;
    if stored.try_get_u32_le().ok() != Some(crc32c::crc32c(covered)) {
        return Err(damaged(0, "the checksum of the header is wrong"));
    }
    if format != SNAPSHOT_FORMAT {
        return Err(StorageError::Refused(format!(
            "{} has snapshot format {format}, this program knows {SNAPSHOT_FORMAT}: start the version that wrote it",
            file.name
        )));
    }
    let meta = covered.get(FIXED..).and_then(read_meta).ok_or_else(|| damaged(0, "the header makes no sense"))?;
    let data_offset = whole as u64;
    let (data_length, checksum) = read_trailer(file, data_offset)?;
    Ok(Envelope { meta, data_offset, data_length, checksum })
}

fn read_meta(mut content: &[u8]) -> Option<SnapshotMeta> {
    let last = read_optional(&mut content)?;
    let id_length = content.try_get_u8().ok()?;
    let (id, membership) = content.split_at_checked(id_length.into())?;
    let id = std::str::from_utf8(id).ok()?.to_owned();
    Some(SnapshotMeta { last, membership: Bytes::copy_from_slice(membership), id })
}

fn read_trailer(file: &NamedFile, data_offset: u64) -> Result<(u64, u32)> {
    let damaged = |offset: u64, what: &str| StorageError::damaged(&file.name, offset, what);
    let length = file.len()?;
    let at = length.checked_sub(TRAILER).filter(|at| *at >= data_offset);
    let at = at.ok_or_else(|| damaged(length, "the file ends before its trailer"))?;
    let trailer = file.read_up_to(at, 24)?;
    let mut rest = trailer.as_slice();
    let fields = (rest.try_get_u64_le().ok(), rest.try_get_u32_le().ok(), rest.try_get_u32_le().ok());
    let (Some(data_length), Some(checksum), Some(own)) = fields else {
        return Err(damaged(at, "the file ends before its trailer"));
    };
    let own_right = crc32c::crc32c(trailer.get(..12).unwrap_or_default()) == own;
    if !own_right || rest != END || at.checked_sub(data_offset) != Some(data_length) {
        return Err(damaged(at, "the trailer is wrong: the file is cut, or was never finished"));
    }
    Ok((data_length, checksum))
}
