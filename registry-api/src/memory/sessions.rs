//! Sessions of the store: opened, kept alive, ended.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;
use super::state::State;
use crate::{Heartbeat, Key, LockName, SessionGrant, SessionId, SessionOptions, limits};

#[derive(Debug)]
pub(super) struct SessionRecord {
    ttl: Duration,
    deadline: Instant,
    /// The ephemeral keys that it owns.
    pub(super) keys: BTreeSet<Key>,
    /// The locks that it holds or waits for.
    pub(super) locks: BTreeSet<LockName>,
}

impl State {
    pub(super) fn open_session(&mut self, options: &SessionOptions, now: Instant) -> Result<SessionGrant, Failure> {
        limits::check_session(options).map_err(Failure::invalid)?;
        if self.sessions.len() >= self.options.sessions_max {
            return Err(Failure::limit("sessions", self.options.sessions_max));
        }
        self.sessions_opened += 1;
        let id = SessionId::new(self.sessions_opened);
        let ttl = options.ttl;
        let deadline = now + ttl;
        self.first_due = Some(self.first_due.map_or(deadline, |first| first.min(deadline)));
        let record = SessionRecord { ttl, deadline, keys: BTreeSet::default(), locks: BTreeSet::default() };
        self.sessions.insert(id, record);
        Ok(SessionGrant { id, ttl })
    }

    pub(super) fn heartbeat(&mut self, session: SessionId, now: Instant) -> Result<Heartbeat, Failure> {
        let record = self.sessions.get_mut(&session).ok_or_else(|| Failure::session_ended(session))?;
        record.deadline = record.deadline.max(now + record.ttl);
        Ok(Heartbeat { ttl: record.ttl })
    }

    pub(super) fn check_session(&self, session: SessionId) -> Result<(), Failure> {
        if self.sessions.contains_key(&session) { Ok(()) } else { Err(Failure::session_ended(session)) }
    }

    /// Ends a session, whether it lives or has ended; one that never was is refused.
    pub(super) fn close_session(&mut self, session: SessionId, now: Instant) -> Result<(), Failure> {
        if !(1..=self.sessions_opened).contains(&session.get()) {
            return Err(Failure::session_ended(session));
        }
        self.end_session(session, now);
        Ok(())
    }

    /// All its keys end at one revision; then its locks go to those who wait for them.
    pub(super) fn end_session(&mut self, session: SessionId, now: Instant) {
        let Some(record) = self.sessions.remove(&session) else { return };
        if !record.keys.is_empty() {
            let revision = self.advance();
            for key in &record.keys {
                self.remove(key, revision);
            }
        }
        for name in &record.locks {
            self.leave_lock_with_session(name, session, now);
        }
    }

    /// Ends every session whose deadline has come. Returns a moment before which none is due: heartbeats only move
    /// deadlines away, so an old answer is early, never late.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        if self.first_due.is_none_or(|first| now < first) {
            return self.first_due;
        }
        let due: Vec<_> =
            self.sessions.iter().filter(|(_, record)| record.deadline <= now).map(|(id, _)| *id).collect();
        for session in due {
            tracing::debug!(%session, "session expired");
            self.end_session(session, now);
        }
        self.first_due = self.sessions.values().map(|record| record.deadline).min();
        self.first_due
    }
}
