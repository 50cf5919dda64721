//! Writing a snapshot.

use std::ops::Bound;

use bytes::{Bytes, BytesMut};
use prost::Message;
use registry_api::{Key, LockName, Revision, SessionId};

use super::{FORMAT, PIECE_LEN};
use crate::proto::snapshot_record::Record;
use crate::proto::{self, SnapshotRecord, snapshot_change};
use crate::state_machine::client::Client;
use crate::state_machine::lock::Lock;
use crate::state_machine::{Change, StateMachine};

/// Writes a snapshot piece by piece; holds a clone of the state, so that it can be used on another thread while the state
/// goes on, and needs no second copy of it.
#[derive(Debug)]
pub(crate) struct SnapshotEncoder {
    state: StateMachine,
    position: Position,
    records: u64,
    piece: BytesMut,
}

/// What is written next: where it says so, after the last one that was written.
#[derive(Clone, Debug)]
enum Position {
    Header,
    Sessions(SessionId),
    Entries(Option<Key>),
    Locks(Option<LockName>),
    Clients(u64),
    /// A revision of the history, and how many of its changes were written.
    History(Revision, usize),
    Deaths(Revision),
    End,
    Done,
}

impl SnapshotEncoder {
    pub(super) fn new(state: StateMachine) -> Self {
        Self { state, position: Position::Header, records: 0, piece: BytesMut::new() }
    }

    fn write(&mut self, record: Record) {
        self.records += 1;
        self.piece.extend_from_slice(&SnapshotRecord { record: Some(record) }.encode_length_delimited_to_vec());
    }

    /// Writes from the position on, until the section ends or the piece is full; returns the next position.
    fn advance(&mut self) -> Position {
        // The state is only read; a second handle on it is cheap.
        let state = self.state.clone();
        match self.position.clone() {
            Position::Header => self.header(&state),
            Position::Sessions(after) => self.sessions(&state, after),
            Position::Entries(after) => self.entries(&state, after.as_ref()),
            Position::Locks(after) => self.locks(&state, after.as_ref()),
            Position::Clients(after) => self.clients(&state, after),
            Position::History(revision, written) => self.history(&state, revision, written),
            Position::Deaths(after) => self.deaths(&state, after),
            Position::End => {
                self.write(Record::End(proto::SnapshotEnd { records: self.records }));
                Position::Done
            }
            Position::Done => Position::Done,
        }
    }

    fn is_full(&self) -> bool {
        self.piece.len() >= PIECE_LEN
    }

    fn header(&mut self, state: &StateMachine) -> Position {
        self.write(Record::Header(proto::SnapshotHeader {
            format: FORMAT,
            revision: Some(state.revision.into()),
            last_session: state.sessions.last(),
            last_client: state.clients.last(),
            turns: state.clients.turns(),
            history_after: Some(state.history.begins_after().into()),
        }));
        Position::Sessions(SessionId::new(0))
    }

    fn sessions(&mut self, state: &StateMachine, after: SessionId) -> Position {
        for (id, session) in state.sessions.iter_after(after) {
            self.write(Record::Session(proto::SnapshotSession {
                id: id.get(),
                ttl_ms: u64::try_from(session.ttl.as_millis()).unwrap_or(u64::MAX),
                label: session.label.to_string(),
                given_up: session.given_up.iter().map(given_up_record).collect(),
            }));
            if self.is_full() {
                return Position::Sessions(id);
            }
        }
        Position::Entries(None)
    }

    fn entries(&mut self, state: &StateMachine, after: Option<&Key>) -> Position {
        for entry in state.keys.entries_after(after) {
            self.write(Record::Entry((&**entry).into()));
            if self.is_full() {
                return Position::Entries(Some(entry.key.clone()));
            }
        }
        Position::Locks(None)
    }

    fn locks(&mut self, state: &StateMachine, after: Option<&LockName>) -> Position {
        for (name, lock) in state.locks.iter_after(after) {
            self.write(Record::Lock(lock_record(name, lock)));
            if self.is_full() {
                return Position::Locks(Some(name.clone()));
            }
        }
        Position::Clients(0)
    }

    fn clients(&mut self, state: &StateMachine, after: u64) -> Position {
        for (id, client) in state.clients.iter_after(after) {
            self.write(Record::Client(client_record(id, client)));
            for (sequence, outcome) in &client.outcomes {
                let outcome = Some(proto::Outcome::clone(outcome));
                self.write(Record::Outcome(proto::SnapshotOutcome { sequence: *sequence, outcome }));
            }
            if self.is_full() {
                return Position::Clients(id);
            }
        }
        Position::History(Revision::ZERO, 0)
    }

    fn history(&mut self, state: &StateMachine, from: Revision, written: usize) -> Position {
        for (revision, changes) in state.history.from(from) {
            let skipped = if revision == from { written } else { 0 };
            for (index, change) in changes.iter().enumerate().skip(skipped) {
                self.write(Record::Change(proto::SnapshotChange { change: change_record(change) }));
                if self.is_full() {
                    return Position::History(revision, index + 1);
                }
            }
        }
        Position::Deaths(Revision::ZERO)
    }

    fn deaths(&mut self, state: &StateMachine, after: Revision) -> Position {
        let range = (Bound::Excluded(&after), Bound::Unbounded);
        for (revision, certificate) in state.deaths.range::<_, Revision>(range) {
            self.write(Record::Death(proto::DeathCertificate::clone(certificate)));
            if self.is_full() {
                return Position::Deaths(*revision);
            }
        }
        Position::End
    }
}

impl Iterator for SnapshotEncoder {
    type Item = Bytes;

    /// The next piece.
    fn next(&mut self) -> Option<Bytes> {
        while !self.is_full() && !matches!(self.position, Position::Done) {
            self.position = self.advance();
        }
        (!self.piece.is_empty()).then(|| self.piece.split().freeze())
    }
}

fn given_up_record((revision, (name, ticket)): (&Revision, &(LockName, u64))) -> proto::SnapshotGivenUp {
    proto::SnapshotGivenUp { revision: Some((*revision).into()), name: name.as_str().to_owned(), ticket: *ticket }
}

fn lock_record(name: &LockName, lock: &Lock) -> proto::SnapshotLock {
    let waiters = lock.queue.iter().map(|(since, request)| proto::SnapshotWaiter {
        session: request.session.get(),
        ticket: request.ticket,
        since: Some((*since).into()),
    });
    proto::SnapshotLock {
        holder: Some((&lock.grant(name)).into()),
        ticket: lock.holder.request.ticket,
        waiters: waiters.collect(),
    }
}

fn client_record(id: u64, client: &Client) -> proto::SnapshotClient {
    proto::SnapshotClient {
        id,
        nonce: client.nonce.clone(),
        label: client.label.to_string(),
        answered_below: client.answered_below,
        last_used: client.last_used,
    }
}

fn change_record(change: &Change) -> Option<snapshot_change::Change> {
    match change {
        Change::Put { entry, previous } => Some(snapshot_change::Change::Put(proto::PutChange {
            entry: Some((&**entry).into()),
            previous: previous.as_ref().map(|entry| (&**entry).into()),
        })),
        Change::Delete { previous, revision } => Some(snapshot_change::Change::Delete(proto::DeleteChange {
            previous: Some((&**previous).into()),
            revision: Some((*revision).into()),
        })),
        _ => None,
    }
}
