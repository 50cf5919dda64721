//! An entry: a key with its value and history.

use bytes::Bytes;

use crate::{Key, Revision, SessionId};

/// A key that exists, with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its value: opaque bytes.
    pub value: Bytes,
    /// The change that made the key exist; a key deleted and put again has a new one.
    pub created: Revision,
    /// The last change of value or owner.
    pub modified: Revision,
    /// The session that the key ends with; `None` for a persistent key.
    pub owner: Option<SessionId>,
}
