//! The replicated state machine: pure.
//!
//! It is a function of the log: no clock, no randomness, no I/O, no iteration over an unordered map. Time enters only
//! inside a command. The same log gives the same state, and the same state gives the same bytes in the snapshot.
//!
//! All of the state is held in persistent maps: a clone is cheap, shares what did not change, and stays as it is while
//! the original goes on. Reads and snapshots are made from clones and never hold up the next command.

mod apply;
mod change;
mod client;
mod history;
mod keyspace;
mod limits;
mod lock;
mod read;
mod refusal;
mod session;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use imbl::OrdMap;
use registry_api::Revision;

pub(crate) use self::change::{Applied, Change, Place, UnknownCommand};
use self::client::Clients;
use self::history::History;
use self::keyspace::Keyspace;
use self::limits::{LIMITS, Limits};
use self::lock::Locks;
use self::session::Sessions;
pub(crate) use self::snapshot::SnapshotEncoder;
#[cfg(test)]
pub(crate) use self::snapshot::{SnapshotDecoder, SnapshotError};
use crate::proto;

/// The state that every member holds.
#[derive(Clone, Debug)]
pub(crate) struct StateMachine {
    limits: &'static Limits,
    /// Of the last change. One command that changes something is one revision.
    revision: Revision,
    keys: Keyspace,
    sessions: Sessions,
    locks: Locks,
    clients: Clients,
    history: History,
    deaths: OrdMap<Revision, Arc<proto::DeathCertificate>>,
}

impl StateMachine {
    /// The state before the first command: incarnation 1, revision 1.0.
    pub(crate) fn new() -> Self {
        Self::with_limits(&LIMITS)
    }

    /// With other limits than those of every member: for tests.
    fn with_limits(limits: &'static Limits) -> Self {
        let revision = Revision::new(1, 0);
        Self {
            limits,
            revision,
            keys: Keyspace::default(),
            sessions: Sessions::default(),
            locks: Locks::default(),
            clients: Clients::default(),
            history: History::starting_after(revision),
            deaths: OrdMap::new(),
        }
    }
}
