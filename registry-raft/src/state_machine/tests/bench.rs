//! A state machine under test, and short ways to say commands.

use bytes::Bytes;
use registry_api::{Entry, Key, LockGrant, LockName, Precondition, PutOptions, Revision, Scope, SessionId};

use crate::convert::{delete_of, put_of};
use crate::proto::command::Command;
use crate::proto::{self, Batch, Failure, Outcome, Proposal, Refusal, outcome};
use crate::state_machine::limits::{LIMITS, Limits};
use crate::state_machine::{Change, StateMachine};

/// Limits that tests reach.
pub(super) static SMALL: Limits = Limits {
    keys: 12,
    bytes: 200,
    sessions: 4,
    keys_per_session: 3,
    places_per_session: 4,
    given_up_per_session: 3,
    waiters: 2,
    clients: 4,
    window: 8,
    history_revisions: 10,
    deaths: 3,
    ..LIMITS
};

pub(super) fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

pub(super) fn lock_name(text: &str) -> LockName {
    LockName::parse(text).unwrap()
}

pub(super) fn proposal(command: Command) -> Proposal {
    Proposal { command: Some(proto::Command { command: Some(command) }), ..Proposal::default() }
}

pub(super) fn put(text: &str, value: &[u8], options: &PutOptions) -> Command {
    Command::Put(put_of(&key(text), Bytes::copy_from_slice(value), options))
}

pub(super) fn open(ttl_ms: u64) -> Command {
    Command::OpenSession(proto::OpenSession { ttl_ms, label: "test".to_owned() })
}

pub(super) fn end(session: SessionId) -> Command {
    Command::EndSession(proto::EndSession { session: session.get(), certificate: None })
}

pub(super) fn acquire(name: &str, session: SessionId, ticket: u64) -> Command {
    Command::Acquire(proto::Acquire { name: name.to_owned(), session: session.get(), only_if_free: false, ticket })
}

pub(super) fn abandon(name: &str, session: SessionId, ticket: u64) -> Command {
    Command::Abandon(proto::Abandon { name: name.to_owned(), session: session.get(), ticket })
}

pub(super) fn release(grant: &LockGrant) -> Command {
    Command::Release(proto::Release { grant: Some(grant.into()) })
}

pub(super) fn register(nonce: &[u8]) -> Command {
    let nonce = Bytes::copy_from_slice(nonce);
    Command::RegisterClient(proto::RegisterClient { nonce, label: String::new() })
}

/// The snapshot in one piece.
pub(super) fn bytes_of(machine: &StateMachine) -> Vec<u8> {
    machine.encode_snapshot().flatten().collect()
}

pub(super) fn decode(bytes: &[u8], limits: &'static Limits) -> StateMachine {
    let mut decoder = crate::state_machine::SnapshotDecoder::with_limits(limits);
    decoder.push(bytes).unwrap();
    decoder.finish().unwrap()
}

/// A state machine under test.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) machine: StateMachine,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { machine: StateMachine::new() }
    }

    pub(super) fn small() -> Self {
        Self { machine: StateMachine::with_limits(&SMALL) }
    }

    pub(super) fn send(&mut self, proposal: Proposal) -> (Outcome, Vec<Change>) {
        let mut applied = self.machine.apply(&Batch { proposals: vec![proposal] }).unwrap();
        (applied.outcomes.remove(0), applied.changes)
    }

    /// Applies a command that is accepted.
    pub(super) fn run(&mut self, command: Command) -> (outcome::Outcome, Vec<Change>) {
        let (outcome, changes) = self.send(proposal(command));
        match outcome.outcome.unwrap() {
            outcome::Outcome::Refused(refusal) => panic!("refused: {refusal:?}"),
            outcome => (outcome, changes),
        }
    }

    /// Applies a command that is refused, and shows that nothing changed.
    pub(super) fn refused(&mut self, command: Command) -> Refusal {
        let before = bytes_of(&self.machine);
        let (outcome, changes) = self.send(proposal(command));
        assert_eq!(outcome.revision, Some(self.machine.revision().into()));
        assert_eq!(changes, []);
        assert!(before == bytes_of(&self.machine), "a refused command changed the state");
        match outcome.outcome.unwrap() {
            outcome::Outcome::Refused(refusal) => refusal,
            outcome => panic!("not refused: {outcome:?}"),
        }
    }

    pub(super) fn failure(&mut self, command: Command) -> Failure {
        let refusal = self.refused(command);
        assert!(!refusal.effect_unknown);
        refusal.failure()
    }

    pub(super) fn put(&mut self, text: &str, value: &str) -> Revision {
        self.run(put(text, value.as_bytes(), &PutOptions::default()));
        self.machine.revision()
    }

    pub(super) fn put_ephemeral(&mut self, text: &str, session: SessionId) -> Revision {
        self.run(put(text, b"", &PutOptions::ephemeral(session)));
        self.machine.revision()
    }

    pub(super) fn delete(&mut self, scope: &Scope) -> u64 {
        match self.run(Command::Delete(delete_of(scope, &Default::default()))).0 {
            outcome::Outcome::Deleted(count) => count,
            outcome => panic!("{outcome:?}"),
        }
    }

    pub(super) fn open(&mut self) -> SessionId {
        match self.run(open(10_000)).0 {
            outcome::Outcome::SessionOpened(opened) => SessionId::new(opened.session),
            outcome => panic!("{outcome:?}"),
        }
    }

    pub(super) fn register(&mut self, nonce: &[u8]) -> u64 {
        match self.run(register(nonce)).0 {
            outcome::Outcome::Client(id) => id,
            outcome => panic!("{outcome:?}"),
        }
    }

    /// Takes a lock that is free.
    pub(super) fn lock(&mut self, name: &str, session: SessionId, ticket: u64) -> LockGrant {
        match self.run(acquire(name, session, ticket)).0 {
            outcome::Outcome::Granted(grant) => grant.try_into().unwrap(),
            outcome => panic!("{outcome:?}"),
        }
    }

    /// Queues for a lock that is held; returns how many are in front.
    pub(super) fn queue(&mut self, name: &str, session: SessionId, ticket: u64) -> u64 {
        match self.run(acquire(name, session, ticket)).0 {
            outcome::Outcome::Queued(in_front) => in_front,
            outcome => panic!("{outcome:?}"),
        }
    }

    pub(super) fn entry(&self, text: &str) -> Option<Entry> {
        self.machine.get(&key(text)).entry
    }

    /// The keys that a listing of the scope names.
    pub(super) fn keys(&self, scope: &Scope) -> Vec<String> {
        let listing = self.machine.list(scope, registry_api::ListContents::Entries, None, None);
        listing.keys().map(ToString::to_string).collect()
    }
}

pub(super) fn when(precondition: Precondition) -> PutOptions {
    PutOptions::default().when(precondition)
}
