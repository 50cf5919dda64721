//! Short ways to say commands.

use bytes::Bytes;

use crate::proto::command::Command;
use crate::proto::{self, Batch, Proposal};

/// What every key holds: as much as the values of the side-by-side bench.
pub(super) const VALUE: Bytes = Bytes::from_static(&[7; 256]);

/// The key with this number: a thousand are below one parent.
pub(super) fn key(number: u64) -> String {
    format!("/keys/{:04}/{:03}", number / 1000, number % 1000)
}

/// The key that a session with this number owns.
pub(super) fn key_of_session(session: u64) -> String {
    format!("/sessions/{session:05}")
}

/// Puts a key; it is persistent with session 0.
pub(super) fn put(key: String, session: u64) -> Command {
    Command::Put(proto::Put { key, value: VALUE, session, ..proto::Put::default() })
}

pub(super) fn delete(key: String) -> Command {
    let target = Some(proto::Scope { scope: Some(proto::scope::Scope::Key(key)) });
    Command::Delete(proto::Delete { target, precondition: None })
}

pub(super) fn register_client() -> Command {
    Command::RegisterClient(proto::RegisterClient { nonce: Bytes::from_static(b"nonce"), label: "worker".to_owned() })
}

pub(super) fn open_session() -> Command {
    Command::OpenSession(proto::OpenSession { ttl_ms: 10_000, label: "worker".to_owned() })
}

pub(super) fn acquire(name: String, session: u64) -> Command {
    Command::Acquire(proto::Acquire { name, session, only_if_free: true, ticket: 1 })
}

/// A proposal without identity.
pub(super) fn proposal(command: Command) -> Proposal {
    Proposal { command: Some(proto::Command { command: Some(command) }), ..Proposal::default() }
}

/// The payload of one log entry.
pub(super) fn batch(commands: impl IntoIterator<Item = Command>) -> Batch {
    Batch { proposals: commands.into_iter().map(proposal).collect() }
}
