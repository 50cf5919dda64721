//! What each record adds to the state, and what makes it unbelievable.

use std::sync::Arc;

use bytes::Bytes;
use registry_api::{Entry, LockGrant, LockName, Revision, SessionId};

use super::SnapshotDecoder;
use crate::convert::{ConvertError, check_label, required, ttl_of};
use crate::proto::snapshot_record::Record;
use crate::proto::{self, snapshot_change};
use crate::state_machine::Change;
use crate::state_machine::client::{Client, Clients};
use crate::state_machine::history::History;
use crate::state_machine::limits::{COUNTER_MAX, NONCE_LEN_MAX, ROUND_TRIPS_MAX};
use crate::state_machine::lock::{Lock, Request};
use crate::state_machine::session::{Sessions, Standing};
use crate::state_machine::snapshot::{FORMAT, SnapshotError};

impl From<ConvertError> for SnapshotError {
    fn from(error: ConvertError) -> Self {
        Self::Damaged(error.to_string())
    }
}

#[expect(clippy::fn_params_excessive_bools, reason = "the condition itself, not a switch")]
fn ensure(holds: bool, broken: &str) -> Result<(), SnapshotError> {
    if holds { Ok(()) } else { Err(SnapshotError::damaged(broken)) }
}

impl SnapshotDecoder {
    pub(super) fn take(&mut self, record: Record) -> Result<(), SnapshotError> {
        match record {
            Record::Header(header) => self.take_header(&header),
            Record::Session(session) => self.take_session(&session),
            Record::Entry(entry) => self.take_entry(entry),
            Record::Lock(lock) => self.take_lock(lock),
            Record::Client(client) => self.take_client(&client),
            Record::Outcome(outcome) => self.take_outcome(outcome),
            Record::Change(change) => self.take_change(change),
            Record::Death(certificate) => self.take_death(certificate),
            Record::End(end) => ensure(end.records == self.records, "records are missing"),
        }
    }

    fn take_header(&mut self, header: &proto::SnapshotHeader) -> Result<(), SnapshotError> {
        if header.format != FORMAT {
            return Err(SnapshotError::Version { found: header.format, known: FORMAT });
        }
        let revision = Revision::from(required(header.revision, "revision")?);
        let history_after = Revision::from(required(header.history_after, "revision of the history")?);
        let largest = [revision.incarnation, revision.counter, header.last_session, header.last_client, header.turns];
        ensure(largest.iter().all(|counter| *counter < COUNTER_MAX), "a counter is out of range")?;
        ensure(history_after.incarnation == revision.incarnation, "the history is of another incarnation")?;
        ensure(history_after <= revision, "the history begins after the last revision")?;
        self.state.revision = revision;
        self.state.sessions = Sessions::starting_after(header.last_session);
        self.state.clients = Clients::starting_after(header.last_client, header.turns);
        self.state.history = History::starting_after(history_after);
        Ok(())
    }

    fn take_session(&mut self, session: &proto::SnapshotSession) -> Result<(), SnapshotError> {
        let id = SessionId::new(session.id);
        let last = self.state.sessions.last_open().unwrap_or(SessionId::new(0));
        ensure(last < id && session.id <= self.state.sessions.last(), "a session is out of order")?;
        ensure(self.state.sessions.len() < self.state.limits.sessions, "too many sessions")?;
        check_label(&session.label)?;
        self.state.sessions.restore(id, ttl_of(session.ttl_ms)?, &session.label);
        session.given_up.iter().try_for_each(|given_up| self.take_given_up(id, given_up))
    }

    fn take_given_up(&mut self, id: SessionId, given_up: &proto::SnapshotGivenUp) -> Result<(), SnapshotError> {
        let revision = Revision::from(required(given_up.revision, "revision of a request given up")?);
        let name = LockName::parse(&given_up.name).map_err(ConvertError::from)?;
        let most = self.state.limits.given_up_per_session;
        let Some(session) = self.state.sessions.get_mut(id) else { return Ok(()) };
        let last = session.given_up.get_max().map(|(revision, _)| *revision);
        ensure(last.is_none_or(|last| last < revision), "a request given up is out of order")?;
        ensure(revision <= self.state.revision && session.given_up.len() < most, "too many requests given up")?;
        session.give_up(revision, name, given_up.ticket, most);
        Ok(())
    }

    /// An entry with a value of its own, of this snapshot's past.
    fn entry_of(&self, entry: proto::Entry) -> Result<Entry, SnapshotError> {
        let entry = Entry::try_from(entry)?;
        ensure(entry.created <= entry.modified && entry.modified <= self.state.revision, "an entry is of the future")?;
        Ok(Entry { value: Bytes::copy_from_slice(&entry.value), ..entry })
    }

    fn take_entry(&mut self, entry: proto::Entry) -> Result<(), SnapshotError> {
        let entry = self.entry_of(entry)?;
        let state = &mut self.state;
        ensure(state.keys.last().is_none_or(|last| last.key < entry.key), "a key is out of order")?;
        ensure(state.keys.len() < state.limits.keys, "too many keys")?;
        ensure(state.keys.ephemeral_ancestor(&entry.key).is_none(), "an ephemeral key has children")?;
        if let Some(owner) = entry.owner {
            let session = state.sessions.get(owner);
            ensure(session.is_some(), "a key belongs to no session")?;
            let fits = session.is_some_and(|session| session.keys.len() < state.limits.keys_per_session);
            ensure(fits, "a session has too many keys")?;
            // Keys come in byte order, so the children of this one are still to come, and will be refused.
            state.sessions.move_key(&entry.key, None, Some(owner));
        }
        state.keys.insert(Arc::new(entry));
        ensure(state.keys.bytes() <= state.limits.bytes, "too many bytes")
    }

    fn take_lock(&mut self, lock: proto::SnapshotLock) -> Result<(), SnapshotError> {
        let grant = LockGrant::try_from(required(lock.holder, "holder of a lock")?)?;
        let token = grant.token.revision();
        ensure(self.state.locks.last().is_none_or(|last| *last < grant.name), "a lock is out of order")?;
        ensure(token <= self.state.revision, "a token is of the future")?;
        ensure(lock.waiters.len() <= self.state.limits.waiters, "a lock has too many waiters")?;
        let holder = Request { session: grant.session, ticket: lock.ticket };
        let mut restored = Lock::granted(holder, token);
        self.take_place(&grant, holder, Standing::Holding)?;
        for waiter in lock.waiters {
            let since = Revision::from(required(waiter.since, "place of a waiter")?);
            let last = restored.queue.get_max().map(|(since, _)| *since);
            ensure(last.is_none_or(|last| last < since), "a waiter is out of order")?;
            ensure(since <= self.state.revision, "a waiter is of the future")?;
            let request = Request { session: SessionId::new(waiter.session), ticket: waiter.ticket };
            self.take_place(&grant, request, Standing::Waiting(since))?;
            restored.queue.insert(since, request);
        }
        self.state.locks.insert(grant.name, restored);
        Ok(())
    }

    fn take_place(&mut self, lock: &LockGrant, request: Request, standing: Standing) -> Result<(), SnapshotError> {
        let most = self.state.limits.places_per_session;
        let session = self.state.sessions.get_mut(request.session);
        let session = session.ok_or_else(|| SnapshotError::damaged("a lock belongs to no session"))?;
        ensure(session.places.len() < most, "a session has too many locks")?;
        let place = (lock.name.clone(), request.ticket);
        ensure(session.places.insert(place, standing).is_none(), "a lock request is there twice")
    }

    fn take_client(&mut self, client: &proto::SnapshotClient) -> Result<(), SnapshotError> {
        let clients = &mut self.state.clients;
        ensure(self.client < client.id && client.id <= clients.last(), "a client is out of order")?;
        ensure(clients.len() < self.state.limits.clients, "too many clients")?;
        ensure(client.last_used <= clients.turns(), "a client is of the future")?;
        ensure(!client.nonce.is_empty() && client.nonce.len() <= NONCE_LEN_MAX, "a nonce is out of range")?;
        check_label(&client.label)?;
        let restored = Client::new(&client.nonce, &client.label, client.answered_below, client.last_used);
        self.client = client.id;
        ensure(clients.restore(client.id, restored), "two clients are one")
    }

    fn take_outcome(&mut self, outcome: proto::SnapshotOutcome) -> Result<(), SnapshotError> {
        let sequence = outcome.sequence;
        let outcome = required(outcome.outcome, "outcome")?;
        ensure(outcome.outcome.is_some(), "an outcome of an unknown kind")?;
        let clients = &mut self.state.clients;
        ensure(clients.takes_next(self.client, sequence, self.state.limits), "an outcome is out of order")?;
        ensure(clients.restore_outcome(self.client, sequence, &outcome), "an outcome is there twice")?;
        ensure(clients.bytes() <= self.state.limits.outcome_bytes, "too many outcomes")
    }

    fn take_change(&mut self, change: proto::SnapshotChange) -> Result<(), SnapshotError> {
        let change = match change.change.ok_or_else(|| SnapshotError::damaged("a change of an unknown kind"))? {
            snapshot_change::Change::Put(put) => {
                let previous = put.previous.map(|entry| self.entry_of(entry)).transpose()?;
                let entry = self.entry_of(required(put.entry, "entry")?)?;
                Change::Put { entry: Arc::new(entry), previous: previous.map(Arc::new) }
            }
            snapshot_change::Change::Delete(delete) => {
                let previous = Arc::new(self.entry_of(required(delete.previous, "entry")?)?);
                Change::Delete { previous, revision: required(delete.revision, "revision")?.into() }
            }
        };
        let revision = change.revision().unwrap_or(Revision::ZERO);
        let begins_after = self.state.history.begins_after();
        ensure(begins_after < revision && revision <= self.state.revision, "a change is outside of the history")?;
        ensure(self.changes.0 <= revision, "a change is out of order")?;
        if self.changes.0 < revision {
            self.settle_changes()?;
        }
        self.changes.0 = revision;
        self.changes.1.push(change);
        Ok(())
    }

    /// Records the changes of a revision when all of them have come.
    pub(super) fn settle_changes(&mut self) -> Result<(), SnapshotError> {
        let (revision, changes) = std::mem::take(&mut self.changes);
        let history = &mut self.state.history;
        let begins_after = history.begins_after();
        history.record(revision, &changes, self.state.limits);
        ensure(history.begins_after() == begins_after, "the history is too long")
    }

    fn take_death(&mut self, certificate: proto::DeathCertificate) -> Result<(), SnapshotError> {
        let ended_at = Revision::from(required(certificate.ended_at, "revision of a death")?);
        let deaths = &mut self.state.deaths;
        let last = deaths.get_max().map(|(revision, _)| *revision);
        ensure(last.is_none_or(|last| last < ended_at), "a death is out of order")?;
        ensure(ended_at <= self.state.revision && deaths.len() < self.state.limits.deaths, "too many deaths")?;
        ensure(certificate.round_trips_us.len() <= ROUND_TRIPS_MAX, "a death certificate is too long")?;
        check_label(&certificate.label)?;
        deaths.insert(ended_at, Arc::new(certificate));
        Ok(())
    }
}
