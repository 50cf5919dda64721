//! Records as values of the registry: JSON, so that any tool can read them.

use bytes::Bytes;
use registry_api::Entry;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value in the registry is not the record that its key promises: written by another version, or by hand.
#[derive(Debug, thiserror::Error)]
#[error("the value of {key} cannot be read: {source}")]
pub struct DecodeError {
    key: String,
    source: serde_json::Error,
}

/// The value of a record. Records are plain data with text keys, so encoding them does not fail; should it, the value is
/// `null`, which no reader takes for a record.
pub fn encode<T: Serialize>(record: &T) -> Bytes {
    serde_json::to_vec(record).map_or_else(|_not_plain_data| Bytes::from_static(b"null"), Bytes::from)
}

/// The record of an entry.
///
/// # Errors
///
/// [`DecodeError`] names the key.
pub fn decode<T: DeserializeOwned>(entry: &Entry) -> Result<T, DecodeError> {
    serde_json::from_slice(&entry.value).map_err(|source| DecodeError { key: entry.key.to_string(), source })
}
