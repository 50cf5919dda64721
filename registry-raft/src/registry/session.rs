//! Sessions: opened once, kept alive at the leader, closed by a proposal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use registry_api::{
    Effect, Error, ErrorKind, Heartbeat, Operation, Result, SESSION_TTL_MAX, SESSION_TTL_MIN, SessionGrant, SessionId,
    SessionOptions,
};
use tokio::time::Instant;

use super::Inner;
use super::answer::unexpected;
use super::handover::{Kept, hand_over};
use crate::convert::{BACKEND, check_label, error_of};
use crate::proto;
use crate::proto::Failure;
use crate::proto::answer::Answer;
use crate::proto::command::Command;
use crate::proto::outcome::Outcome as Applied;
use crate::proto::request::Request;

impl Inner {
    /// Opens a session; when the caller goes away meanwhile, it is closed again.
    pub(super) async fn open_session(self: &Arc<Self>, options: SessionOptions) -> Result<SessionGrant> {
        const OPERATION: Operation = Operation::OpenSession;
        check(&options)?;
        let inner = Arc::clone(self);
        let opening = hand_over(&self.tasks, move |kept| inner.open_for(options, kept));
        self.while_open(OPERATION, Effect::Unknown, async {
            opening.await.unwrap_or_else(|| Err(super::closed(OPERATION, Effect::Unknown)))
        })
        .await
    }

    async fn open_for(self: Arc<Self>, options: SessionOptions, kept: Kept<Result<SessionGrant>>) {
        let ttl_ms = u64::try_from(options.ttl.as_millis()).unwrap_or(u64::MAX);
        let command = Command::OpenSession(proto::OpenSession { ttl_ms, label: options.label });
        let opened = self.propose_until(Operation::OpenSession, command, self.deadline()).await;
        let granted = opened.and_then(|done| match done.applied {
            Some(Applied::SessionOpened(opened)) => {
                Ok(SessionGrant { id: SessionId::new(opened.session), ttl: Duration::from_millis(opened.ttl_ms) })
            }
            _ => Err(unexpected(Operation::OpenSession, Effect::Unknown)),
        });
        let session = granted.as_ref().ok().map(|grant| grant.id);
        if !kept.deliver(granted).await
            && let Some(session) = session
        {
            self.give_up(Operation::CloseSession, || end_session(session)).await;
        }
    }

    /// One heartbeat, to the leader. Its round trip is told with the next one, for the death certificate.
    pub(super) async fn heartbeat(&self, session: SessionId) -> Result<Heartbeat> {
        const OPERATION: Operation = Operation::Heartbeat;
        let id = session.get();
        let request =
            Request::Heartbeat(proto::HeartbeatRequest { session: id, last_round_trip_us: self.round_trips.last(id) });
        let taken = async {
            let sent = Instant::now();
            let answered = self.router.at_leader(&request, self.deadline()).await.map_err(|refusal| {
                if refusal.failure() == Failure::SessionEnded {
                    self.round_trips.forget(id);
                }
                error_of(&refusal, OPERATION)
            })?;
            let Answer::Heartbeat(taken) = answered.answer else {
                return Err(unexpected(OPERATION, Effect::Unknown));
            };
            self.round_trips.measured(id, sent.elapsed());
            Ok(Heartbeat { ttl: Duration::from_millis(taken.ttl_ms) })
        };
        self.while_open(OPERATION, Effect::Unknown, taken).await
    }

    /// Ends a session; ending one that has ended succeeds.
    pub(super) async fn close_session(&self, session: SessionId) -> Result<()> {
        self.round_trips.forget(session.get());
        match self.propose(Operation::CloseSession, end_session(session)).await {
            Ok(_done) => Ok(()),
            Err(error) if *error.kind() == ErrorKind::SessionEnded => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn end_session(session: SessionId) -> Command {
    Command::EndSession(proto::EndSession { session: session.get(), certificate: None })
}

fn check(options: &SessionOptions) -> Result<()> {
    let refused =
        |message| Error::new(ErrorKind::InvalidArgument, Effect::NotApplied, Operation::OpenSession, BACKEND, message);
    if !(SESSION_TTL_MIN..=SESSION_TTL_MAX).contains(&options.ttl) {
        return Err(refused(format!(
            "a session lives between {} and {}; {} is asked for",
            humantime::format_duration(SESSION_TTL_MIN),
            humantime::format_duration(SESSION_TTL_MAX),
            humantime::format_duration(options.ttl)
        )));
    }
    check_label(&options.label).map_err(|error| refused(error.to_string()))
}

/// The last heartbeat round trip of each session that this client keeps alive.
#[derive(Debug, Default)]
pub(super) struct RoundTrips(Mutex<BTreeMap<u64, Duration>>);

impl RoundTrips {
    /// More sessions than a group may hold: beyond it, something forgets to close them.
    const SESSIONS_MAX: usize = 20_000;

    /// In microseconds; 0 where none was measured yet.
    fn last(&self, session: u64) -> u64 {
        let last = self.measured_so_far().get(&session).copied().unwrap_or_default();
        u64::try_from(last.as_micros()).unwrap_or(u64::MAX)
    }

    fn measured(&self, session: u64, round_trip: Duration) {
        metrics::histogram!("registry_raft_heartbeat_round_trip_seconds").record(round_trip.as_secs_f64());
        let mut round_trips = self.measured_so_far();
        if round_trips.len() >= Self::SESSIONS_MAX && !round_trips.contains_key(&session) {
            round_trips.pop_first();
        }
        round_trips.insert(session, round_trip);
    }

    fn forget(&self, session: u64) {
        self.measured_so_far().remove(&session);
    }

    fn measured_so_far(&self) -> MutexGuard<'_, BTreeMap<u64, Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
