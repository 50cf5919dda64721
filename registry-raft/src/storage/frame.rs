//! Frames: the checksummed units that a log segment is made of. The layout is documented in `docs/formats/disk.md`.
//!
//! ```text
//!  0        4        8                16       20   21    24
//!  | crc32c | length | segment id     | durable|kind| 0 0 0| body ... | zeros to a multiple of 8 |
//! ```
//!
//! The checksum also covers the frame's offset, and the segment id is never used twice: what an earlier life of a recycled
//! file left behind can never be taken for a frame of this one, not even where it stands at the same offset.

use bytes::{Buf, BufMut, Bytes};

use super::{Position, Record, RecordKind, Vote};

/// Bytes before the body.
pub(super) const FRAME_HEADER: usize = 24;
/// Frames start at multiples of this.
pub(super) const ALIGNMENT: usize = 8;
/// Bytes of a record's body before its payload.
const RECORD_HEADER: usize = 24;

const BLANK: u8 = 1;
const NORMAL: u8 = 2;
const MEMBERSHIP: u8 = 3;
const VOTE: u8 = 16;
const COMMITTED: u8 = 17;
const TRUNCATE: u8 = 18;
const PURGE: u8 = 19;
const START: u8 = 20;
const MARK: u8 = 21;

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// A record continues the log.
    Record(Record),
    /// The vote is now this one.
    Vote(Vote),
    /// Everything up to here is known to be committed.
    Committed(Position),
    /// The log ends here (`None`: it is empty); what stood after it is void.
    Truncate(Option<Position>),
    /// Everything up to here is gone.
    Purge(Position),
    /// The first record of the empty log will have this index.
    Start(u64),
    /// Everything before this frame was on disk: written when the log is closed in order.
    Mark,
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// Id of the segment.
    pub(super) segment: u64,
    /// Offset in the segment's file.
    pub(super) offset: u32,
}

/// A frame whose checksum is right.
#[derive(Debug)]
pub(super) struct Frame {
    /// Offset in this segment up to which everything was on disk before this frame was written.
    pub(super) durable: u32,
    /// What it says.
    pub(super) body: Body,
    /// Length with header and padding.
    pub(super) length: u32,
}

/// Why there is no frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoFrame {
    /// The bytes are not a frame of this segment at this offset, or its checksum is wrong.
    Invalid,
    /// The checksum is right, but the content makes no sense: written by a newer version, or by a bug.
    Foreign(&'static str),
}

/// Length of the frame that a body makes, with header and padding.
pub(super) fn frame_length(body: &Body) -> usize {
    let body = match body {
        Body::Record(record) => RECORD_HEADER.saturating_add(record.payload.len()),
        Body::Vote(_) => 17,
        Body::Committed(_) | Body::Purge(_) => 24,
        Body::Truncate(_) => 25,
        Body::Start(_) => 8,
        Body::Mark => 0,
    };
    FRAME_HEADER.saturating_add(body).next_multiple_of(ALIGNMENT)
}

/// Appends the frame of `body` to `buffer`.
pub(super) fn encode(buffer: &mut Vec<u8>, at: At, durable: u32, body: &Body) {
    let start = buffer.len();
    let end = start.saturating_add(frame_length(body));
    buffer.put_u32_le(0);
    buffer.put_u32_le(0);
    buffer.put_u64_le(at.segment);
    buffer.put_u32_le(durable);
    buffer.put_u8(kind(body));
    buffer.put_bytes(0, 3);
    put_body(buffer, body);
    let body_length = buffer.len().saturating_sub(start).saturating_sub(FRAME_HEADER);
    buffer.resize(end, 0);
    let frame = buffer.get_mut(start..).unwrap_or_default();
    put_field(frame, 4, u32::try_from(body_length).unwrap_or(u32::MAX));
    put_field(frame, 0, checksum(at.offset, frame.get(4..).unwrap_or_default()));
}

fn put_field(frame: &mut [u8], at: usize, value: u32) {
    if let Some(field) = frame.get_mut(at..at.saturating_add(4)) {
        field.copy_from_slice(&value.to_le_bytes());
    }
}

/// Reads the frame that `bytes` begin with. Never allocates more than `bytes` hold.
pub(super) fn decode(bytes: &[u8], at: At) -> Result<Frame, NoFrame> {
    let mut header = bytes.get(..FRAME_HEADER).ok_or(NoFrame::Invalid)?;
    let expected = header.get_u32_le();
    let body_length = header.get_u32_le() as usize;
    let segment = header.get_u64_le();
    let durable = header.get_u32_le();
    let kind = header.get_u8();
    if segment != at.segment {
        return Err(NoFrame::Invalid);
    }
    let unpadded = FRAME_HEADER.checked_add(body_length).ok_or(NoFrame::Invalid)?;
    let length = unpadded.checked_next_multiple_of(ALIGNMENT).ok_or(NoFrame::Invalid)?;
    let covered = bytes.get(4..length).ok_or(NoFrame::Invalid)?;
    if checksum(at.offset, covered) != expected {
        return Err(NoFrame::Invalid);
    }
    let body = bytes.get(FRAME_HEADER..unpadded).ok_or(NoFrame::Invalid)?;
    let body = read_body(kind, body).ok_or(NoFrame::Foreign("a frame of an unknown kind or shape"))?;
    let length = u32::try_from(length).map_err(|_too_long| NoFrame::Invalid)?;
    Ok(Frame { durable, body, length })
}

/// Whether the bytes look like the header of a frame of this segment: cheap, without the checksum.
pub(super) fn names_segment(bytes: &[u8], segment: u64) -> bool {
    bytes.get(8..16) == Some(segment.to_le_bytes().as_slice())
}

fn checksum(offset: u32, covered: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&offset.to_le_bytes()), covered)
}

fn kind(body: &Body) -> u8 {
    match body {
        Body::Record(record) => match record.kind {
            RecordKind::Blank => BLANK,
            RecordKind::Normal => NORMAL,
            RecordKind::Membership => MEMBERSHIP,
        },
        Body::Vote(_) => VOTE,
        Body::Committed(_) => COMMITTED,
        Body::Truncate(_) => TRUNCATE,
        Body::Purge(_) => PURGE,
        Body::Start(_) => START,
        Body::Mark => MARK,
    }
}

fn put_body(buffer: &mut Vec<u8>, body: &Body) {
    match body {
        Body::Record(record) => {
            put_position(buffer, record.position);
            buffer.extend_from_slice(&record.payload);
        }
        Body::Vote(vote) => put_vote(buffer, *vote),
        Body::Committed(position) | Body::Purge(position) => put_position(buffer, *position),
        Body::Truncate(last) => put_optional(buffer, *last),
        Body::Start(index) => buffer.put_u64_le(*index),
        Body::Mark => {}
    }
}

fn read_body(kind: u8, mut body: &[u8]) -> Option<Body> {
    let record = |kind, mut body: &[u8]| {
        let position = read_position(&mut body)?;
        Some(Body::Record(Record { position, kind, payload: Bytes::copy_from_slice(body) }))
    };
    let decoded = match kind {
        BLANK => return record(RecordKind::Blank, body),
        NORMAL => return record(RecordKind::Normal, body),
        MEMBERSHIP => return record(RecordKind::Membership, body),
        VOTE => Body::Vote(read_vote(&mut body)?),
        COMMITTED => Body::Committed(read_position(&mut body)?),
        PURGE => Body::Purge(read_position(&mut body)?),
        TRUNCATE => Body::Truncate(read_optional(&mut body)?),
        START => Body::Start(body.try_get_u64_le().ok()?),
        MARK => Body::Mark,
        _ => return None,
    };
    body.is_empty().then_some(decoded)
}

pub(super) fn put_position(buffer: &mut Vec<u8>, position: Position) {
    buffer.put_u64_le(position.index);
    buffer.put_u64_le(position.term);
    buffer.put_u64_le(position.leader);
}

pub(super) fn read_position(bytes: &mut &[u8]) -> Option<Position> {
    let position = Position {
        index: bytes.try_get_u64_le().ok()?,
        term: bytes.try_get_u64_le().ok()?,
        leader: bytes.try_get_u64_le().ok()?,
    };
    // The index after it must exist too.
    (position.index < u64::MAX).then_some(position)
}

/// A flag and a position, which is all zeros where the flag is 0: one length for both.
pub(super) fn put_optional(buffer: &mut Vec<u8>, position: Option<Position>) {
    buffer.put_u8(u8::from(position.is_some()));
    put_position(buffer, position.unwrap_or(Position { index: 0, term: 0, leader: 0 }));
}

pub(super) fn read_optional(bytes: &mut &[u8]) -> Option<Option<Position>> {
    let flag = bytes.try_get_u8().ok()?;
    let position = read_position(bytes)?;
    match flag {
        0 => Some(None),
        1 => Some(Some(position)),
        _ => None,
    }
}

pub(super) fn put_vote(buffer: &mut Vec<u8>, vote: Vote) {
    buffer.put_u64_le(vote.term);
    buffer.put_u64_le(vote.node);
    buffer.put_u8(u8::from(vote.committed));
}

pub(super) fn read_vote(bytes: &mut &[u8]) -> Option<Vote> {
    let term = bytes.try_get_u64_le().ok()?;
    let node = bytes.try_get_u64_le().ok()?;
    let committed = match bytes.try_get_u8().ok()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some(Vote { term, node, committed })
}
