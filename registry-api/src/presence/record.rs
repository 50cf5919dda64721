//! The presence record: who is registered, and with what payload.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

/// Tells one announcement from every other, for ever: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(u128);

impl Incarnation {
    pub(super) fn unique() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Incarnation({self})")
    }
}

/// Reads what [`Display`](fmt::Display) writes: 32 hexadecimal digits.
impl FromStr for Incarnation {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// The value of a presence's key.
///
/// On the wire: a line `presence/1 INCARNATION`, the incarnation as 32 hexadecimal digits, then the payload's bytes as
/// they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceRecord {
    /// Which announcement it is.
    pub incarnation: Incarnation,
    /// What was reported last.
    pub payload: Bytes,
}

const FORMAT: &str = "presence/1 ";
const DIGITS: usize = 32;
/// How many bytes a record has before its payload.
pub const PRESENCE_HEADER_LEN: usize = FORMAT.len() + DIGITS + 1;

impl PresenceRecord {
    pub(super) fn encode(&self) -> Bytes {
        let mut record = format!("{FORMAT}{}\n", self.incarnation).into_bytes();
        record.extend_from_slice(&self.payload);
        record.into()
    }

    /// Reads a record; `None` where the bytes are not one.
    #[must_use]
    pub fn decode(record: &[u8]) -> Option<Self> {
        let (header, payload) = record.split_at_checked(PRESENCE_HEADER_LEN)?;
        let digits = std::str::from_utf8(header).ok()?.strip_prefix(FORMAT)?.strip_suffix('\n')?;
        let incarnation = digits.parse().ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        Some(Self { incarnation, payload: Bytes::copy_from_slice(payload) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_whatever_the_payload_is() {
        for payload in [&b""[..], b"{\"load\":0.1}", b"two\nlines", &[0, 255, 10, 128]] {
            let record =
                PresenceRecord { incarnation: Incarnation::unique(), payload: Bytes::copy_from_slice(payload) };
            let bytes = record.encode();
            assert_eq!(bytes.len(), PRESENCE_HEADER_LEN + payload.len());
            assert_eq!(PresenceRecord::decode(&bytes), Some(record));
        }
    }

    #[test]
    fn what_is_not_a_record_is_refused() {
        let good = PresenceRecord { incarnation: Incarnation(7), payload: Bytes::new() }.encode();
        assert!(PresenceRecord::decode(&good).is_some());
        assert_eq!(PresenceRecord::decode(&good[..good.len() - 1]), None);
        for (position, byte) in [(0, b'P'), (9, b'2'), (11, b'+'), (12, b'g'), (PRESENCE_HEADER_LEN - 1, b' ')] {
            let mut damaged = good.to_vec();
            damaged[position] = byte;
            assert_eq!(PresenceRecord::decode(&damaged), None, "byte {position}");
        }
    }
}
