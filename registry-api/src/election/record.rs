//! The leader record: who leads, under which token.

use bytes::Bytes;

use crate::{FencingToken, Revision};

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// What it told of itself when it campaigned.
    pub candidate: Bytes,
    /// The token of its leadership: larger than that of every leader before. It is the epoch by which late messages are
    /// told from current ones.
    pub token: FencingToken,
}

const FORMAT: &str = "leader/1";

impl Leader {
    /// The record: a line `leader/1 INCARNATION COUNTER`, then the candidate's bytes as they are.
    pub(super) fn encode(&self) -> Bytes {
        let Revision { incarnation, counter } = self.token.revision();
        let mut record = format!("{FORMAT} {incarnation} {counter}\n").into_bytes();
        record.extend_from_slice(&self.candidate);
        record.into()
    }

    /// Reads a record; `None` where the bytes are not one.
    #[must_use]
    pub fn decode(record: &Bytes) -> Option<Self> {
        let end = record.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(record.get(..end)?).ok()?;
        let mut words = line.strip_prefix(FORMAT)?.strip_prefix(' ')?.split(' ');
        let incarnation = words.next()?.parse().ok()?;
        let counter = words.next()?.parse().ok()?;
        let token = FencingToken::new(Revision::new(incarnation, counter));
        words.next().is_none().then(|| Self { candidate: record.slice(end + 1..), token })
    }
}

/// The token that a record was written under.
pub(crate) fn token_of(record: &Bytes) -> Option<FencingToken> {
    Leader::decode(record).map(|leader| leader.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_whatever_the_candidate_says() {
        for candidate in [&b""[..], b"127.0.0.1:7001", b"two\nlines", &[0, 255, 10, 128]] {
            let leader =
                Leader { candidate: Bytes::copy_from_slice(candidate), token: FencingToken::new(Revision::new(2, 77)) };
            assert_eq!(Leader::decode(&leader.encode()), Some(leader));
        }
    }

    #[test]
    fn what_is_not_a_record_is_not_a_leader() {
        let refused: [&[u8]; 7] =
            [b"", b"\n", b"leader/1", b"leader/1 1\nx", b"leader/1 1 2 3\nx", b"leader/2 1 2\nx", b"\xff 1 2\nx"];
        for bytes in refused {
            assert_eq!(Leader::decode(&Bytes::copy_from_slice(bytes)), None, "{bytes:?}");
        }
    }
}
