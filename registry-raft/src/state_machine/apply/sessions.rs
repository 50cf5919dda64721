//! Sessions and client identities.

use registry_api::SessionId;

use super::{Done, Step};
use crate::convert::{ConvertError, check_label, ttl_of};
use crate::proto::outcome::Outcome;
use crate::proto::{self, DeathCertificate, SessionEndReason};
use crate::state_machine::limits::{NONCE_LEN_MAX, ROUND_TRIPS_MAX};
use crate::state_machine::refusal::{Stop, limit};
use crate::state_machine::session::{Session, Standing};
use crate::state_machine::{Change, StateMachine};

impl StateMachine {
    pub(super) fn register_client(
        &mut self,
        register: &proto::RegisterClient,
        step: &mut Step<'_>,
    ) -> Result<Done, Stop> {
        check_label(&register.label)?;
        if register.nonce.is_empty() || register.nonce.len() > NONCE_LEN_MAX {
            return Err(ConvertError::invalid(format!("a nonce has 1 to {NONCE_LEN_MAX} bytes")).into());
        }
        if let Some(id) = self.clients.registered(&register.nonce) {
            return Ok(Done::unchanged(Outcome::Client(id)));
        }
        while self.clients.len() >= self.limits.clients {
            let Some(id) = self.clients.end_oldest() else { break };
            step.push(Change::ClientEnded { id });
        }
        let id = self.clients.register(&register.nonce, &register.label);
        step.push(Change::ClientRegistered { id });
        Ok(Done::changed(Outcome::Client(id)))
    }

    pub(super) fn end_client(&mut self, id: u64, step: &mut Step<'_>) -> Done {
        if !self.clients.end(id) {
            return Done::unchanged(Outcome::Done(true));
        }
        step.push(Change::ClientEnded { id });
        Done::changed(Outcome::Done(true))
    }

    pub(super) fn open_session(&mut self, open: &proto::OpenSession, step: &mut Step<'_>) -> Result<Done, Stop> {
        check_label(&open.label)?;
        let ttl = ttl_of(open.ttl_ms)?;
        if self.sessions.len() >= self.limits.sessions {
            return Err(limit("open sessions", self.limits.sessions).into());
        }
        let id = self.sessions.open(ttl, &open.label);
        step.push(Change::SessionOpened { id, ttl });
        let opened = proto::SessionOpened { session: id.get(), ttl_ms: open.ttl_ms };
        Ok(Done::changed(Outcome::SessionOpened(opened)))
    }

    /// Ends a session and everything that it owns, at one revision. A session that has ended, or never was, is no error.
    pub(super) fn end_session(&mut self, end: &proto::EndSession, step: &mut Step<'_>) -> Done {
        let id = SessionId::new(end.session);
        let Some(session) = self.sessions.remove(id) else { return Done::unchanged(Outcome::Done(true)) };
        for key in &session.keys {
            self.erase(key, step);
        }
        // Waiting places first: a lock of the session is not passed on to the session itself.
        for ((name, ticket), standing) in &session.places {
            if let Standing::Waiting(since) = standing {
                self.leave_queue(name, *since);
                step.push(Change::LockGone { name: name.clone(), session: id, ticket: *ticket });
            }
        }
        for ((name, ticket), standing) in &session.places {
            if *standing == Standing::Holding {
                step.push(Change::LockGone { name: name.clone(), session: id, ticket: *ticket });
                self.pass_on(name, step);
            }
        }
        step.push(Change::SessionEnded { id });
        if let Some(certificate) = &end.certificate {
            self.deaths.insert(step.revision, certify(certificate, id, &session, step).into());
            while self.deaths.len() > self.limits.deaths
                && let Some((oldest, _)) = self.deaths.get_min().cloned()
            {
                self.deaths.remove(&oldest);
            }
        }
        Done::changed(Outcome::Done(true))
    }
}

/// What the state machine knows better than whoever proposed the end is set here.
fn certify(told: &DeathCertificate, id: SessionId, session: &Session, step: &Step<'_>) -> DeathCertificate {
    let held = session.places.values().filter(|standing| **standing == Standing::Holding).count();
    let skipped = told.round_trips_us.len().saturating_sub(ROUND_TRIPS_MAX);
    let reason = match told.reason() {
        SessionEndReason::Unspecified => SessionEndReason::Expired,
        reason => reason,
    };
    DeathCertificate {
        session: id.get(),
        label: session.label.to_string(),
        reason: reason.into(),
        ttl_ms: u64::try_from(session.ttl.as_millis()).unwrap_or(u64::MAX),
        round_trips_us: told.round_trips_us.iter().skip(skipped).copied().collect(),
        ended_at: Some(step.revision.into()),
        keys: session.keys.len() as u64,
        locks: held as u64,
        ..*told
    }
}
