//! The snapshot of the state: a stream of records, the same bytes for the same state.
//!
//! The records and their order are described in `snapshot.proto`. Each has its length in front. Whatever can be derived
//! (which keys are parents, what a session owns, sizes) is not in the snapshot but built up and checked while reading.

mod decode;
mod encode;

pub(crate) use self::decode::SnapshotDecoder;
pub(crate) use self::encode::SnapshotEncoder;
use super::StateMachine;

/// The format that is written.
const FORMAT: u32 = 1;
/// The longest record, in bytes. The longest that is written holds two values of 512 KiB.
const RECORD_LEN_MAX: usize = 4 << 20;
/// A piece ends with the record that makes it longer than this, in bytes.
const PIECE_LEN: usize = 256 << 10;

/// Why bytes are not a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// It was written in another format, probably by a newer version.
    #[error("the snapshot has format {found}; this version reads format {known}")]
    Version { found: u32, known: u32 },
    /// It is damaged, or was made by something else.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
}

impl SnapshotError {
    fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}

impl StateMachine {
    /// Starts a snapshot of the state as it is now: pieces of bounded size, in order. The same state always gives the
    /// same bytes. Integrity is the storage's business: there is no checksum inside.
    pub(crate) fn encode_snapshot(&self) -> SnapshotEncoder {
        SnapshotEncoder::new(self.clone())
    }

    /// Reads a snapshot that is in memory as a whole; [`SnapshotDecoder`] takes it piece by piece.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]; never panics, whatever the bytes are.
    pub(crate) fn decode_snapshot(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut decoder = SnapshotDecoder::default();
        for piece in bytes.chunks(PIECE_LEN) {
            decoder.push(piece)?;
        }
        decoder.finish()
    }
}
