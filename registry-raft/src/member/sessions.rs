//! Sessions and client identities at the leader: heartbeats taken, silent ones ended by a proposed command.
//!
//! Deadlines live in this member's memory, on a clock that counts suspension, from the arrival of heartbeats; nothing of
//! it enters the log (Gray and Cheriton, "Leases", 1989: the holder counts from sending, the grantor from arrival, so no
//! clocks need to agree). What this file is careful about:
//!
//! - A heartbeat is taken only while no other member can lead, and this one has applied everything acknowledged before.
//! - A member that begins to lead, and a leader that did not run or had no quorum for a while, gives everybody a full
//!   ttl: it cannot know what it did not hear. After a short stall only that time does not count: the heartbeats sent in
//!   it wait in sockets.
//! - A confirmation from before the machine was suspended proves nothing: its clock stood still.
//! - Without a quorum nothing ends.
//! - Once the end of a session was proposed its heartbeats are refused, until it is known that the end was not applied.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::boundary::Failed;
use crate::member::clock::Clock;
use crate::member::deadlines::{Deadlines, Heard, Renewal, Silent};
use crate::member::limits::{CLIENT_TTL, EXPIRIES_AT_ONCE, SESSION_TICK, STALL_AFTER, STALL_LONG, SUSPENDED_AFTER};
use crate::member::metrics::Meters;
use crate::member::quorum::{Leadership, ProposeError, Quorum, not_leader};
use crate::proto;
use crate::state_machine::{Change, StateMachine};

/// Watches over sessions and client identities.
pub(crate) struct Sessions {
    member: u64,
    clock: Arc<dyn Clock>,
    quorum: Arc<dyn Quorum>,
    meters: Arc<Meters>,
    watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    sessions: Deadlines,
    clients: Deadlines,
    /// The term in which this member leads and watches; heartbeats of no other term are taken.
    term: Option<u64>,
    /// When the last tick was, on the clock that counts suspension and on the one that confirmations are counted with.
    ticked: Option<(Duration, Instant)>,
    /// Something kept the leader from hearing, so everybody gets a full ttl at the next tick with a quorum.
    deaf: bool,
    /// A confirmation that does not reach beyond this is from before a suspension and proves nothing.
    distrusted: Option<Instant>,
}

/// The time since the last tick.
#[derive(Clone, Copy, Debug, Default)]
struct Gap {
    whole: Duration,
    /// How much of it the machine was suspended.
    suspended: Duration,
}

/// Ends to propose: one entry of the log.
#[derive(Debug, Default)]
struct Expiries {
    term: u64,
    sessions: Vec<Silent>,
    clients: Vec<Silent>,
}

impl Sessions {
    /// Watches for the member `member`; [`Sessions::run`] must be running for anything to end.
    pub(crate) fn new(member: u64, clock: Arc<dyn Clock>, quorum: Arc<dyn Quorum>, meters: Arc<Meters>) -> Self {
        Self { member, clock, quorum, meters, watched: Mutex::default() }
    }

    /// Takes a heartbeat of a session.
    ///
    /// # Errors
    ///
    /// `SESSION_ENDED`, which is final; `NOT_LEADER` and `UNAVAILABLE`: not taken, to be sent again.
    pub(crate) fn heartbeat(&self, heartbeat: &proto::HeartbeatRequest) -> Result<proto::HeartbeatTaken, Failed> {
        let now = self.clock.now();
        let mut watched = self.lock();
        self.serving(&watched, now)?;
        match watched.sessions.heard(heartbeat.session, heartbeat.last_round_trip_us, now) {
            Heard::Alive(ttl) => {
                self.meters.heartbeats.increment(1);
                Ok(proto::HeartbeatTaken { ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX) })
            }
            Heard::Ending => Err(refused(proto::Failure::Unavailable, "the end of the session is on its way")),
            Heard::Unknown => Err(refused(proto::Failure::SessionEnded, "the session has ended, or never was")),
        }
    }

    /// Takes a sign of life of a client identity.
    ///
    /// # Errors
    ///
    /// `CLIENT_ENDED`, which is final; `NOT_LEADER` and `UNAVAILABLE`: not taken, to be sent again.
    pub(crate) fn keep_client(&self, client: u64) -> Result<(), Failed> {
        let now = self.clock.now();
        let mut watched = self.lock();
        self.serving(&watched, now)?;
        match watched.clients.heard(client, 0, now) {
            Heard::Alive(_) => Ok(()),
            Heard::Ending => Err(refused(proto::Failure::Unavailable, "the end of the client is on its way")),
            Heard::Unknown => Err(refused(proto::Failure::ClientEnded, "the client identity has ended")),
        }
    }

    /// A proposal of a client is a sign of life as well.
    pub(crate) fn proposing(&self, client: u64) {
        let now = self.clock.now();
        self.lock().clients.heard(client, 0, now);
    }

    /// Changes were applied; on every member, so that whoever begins to lead knows whom to watch.
    pub(crate) fn applied(&self, changes: &[Change]) {
        if !changes.iter().any(concerns) {
            return;
        }
        let now = self.clock.now();
        let mut watched = self.lock();
        for change in changes {
            match change {
                Change::SessionOpened { id, ttl } => watched.sessions.begin(id.get(), *ttl, now),
                Change::SessionEnded { id } => watched.sessions.end(id.get()),
                Change::ClientRegistered { id } => watched.clients.begin(*id, CLIENT_TTL, now),
                Change::ClientEnded { id } => watched.clients.end(*id),
                Change::Put { .. } | Change::Delete { .. } | Change::LockGranted { .. } | Change::LockGone { .. } => {}
            }
        }
        self.meters.sessions.set(count(watched.sessions.len()));
        self.meters.clients.set(count(watched.clients.len()));
    }

    /// The state was replaced by a snapshot.
    pub(crate) fn replaced(&self, state: &StateMachine) {
        let now = self.clock.now();
        let mut watched = self.lock();
        watched.sessions.replace(state.sessions().map(|session| (session.id.get(), session.ttl)), now);
        watched.clients.replace(state.clients().map(|id| (id, CLIENT_TTL)), now);
        self.meters.sessions.set(count(watched.sessions.len()));
        self.meters.clients.set(count(watched.clients.len()));
    }

    /// Looks at the deadlines until `stop`, while this member leads; one round of ends is on its way at a time.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut leadership = self.quorum.leadership();
        let mut ticks = tokio::time::interval(SESSION_TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rounds = JoinSet::new();
        loop {
            let leading = leadership.borrow().leading;
            tokio::select! {
                () = stop.cancelled() => return,
                // There may be more: ten thousand that end at once do not wait for a tick each time.
                Some(_) = rounds.join_next(), if !rounds.is_empty() => {}
                _ = ticks.tick(), if leading => {}
                changed = leadership.changed() => if changed.is_err() { return },
            }
            let now_leading = leadership.borrow_and_update().clone();
            let room = if rounds.is_empty() { EXPIRIES_AT_ONCE } else { 0 };
            if let Some(expiries) = self.tick(&now_leading, room) {
                rounds.spawn(Arc::clone(&self).end(expiries));
            }
        }
    }

    /// One look at the deadlines: what must be proposed, if anything.
    fn tick(&self, leadership: &Leadership, room: usize) -> Option<Expiries> {
        let now = self.clock.now();
        let confirmed_until = self.quorum.confirmed_until();
        let mut watched = self.lock();
        let gap = watched.gap(now);
        watched.ticked = Some((now, Instant::now()));
        if !leadership.leading || !leadership.ready {
            watched.term = None;
            return None;
        }
        if watched.term != Some(leadership.term) {
            watched.begin_to_lead(leadership.term, now);
        } else if gap.whole > STALL_AFTER {
            tracing::warn!(gap_ms = gap.whole.as_millis(), "the leader was stalled; the time counts for no session");
            self.meters.stalls.increment(1);
            watched.stalled(gap, confirmed_until);
        }
        if !watched.is_confirmed(confirmed_until) {
            watched.deaf = true;
            return None;
        }
        if std::mem::take(&mut watched.deaf) {
            watched.sessions.renew_all(now, Renewal::Stall);
            watched.clients.renew_all(now, Renewal::Stall);
        }
        let sessions = watched.sessions.silent(now, room);
        let clients = watched.clients.silent(now, room.saturating_sub(sessions.len()));
        let any = !sessions.is_empty() || !clients.is_empty();
        any.then_some(Expiries { term: leadership.term, sessions, clients })
    }

    /// Proposes ends, and notes what became of them.
    async fn end(self: Arc<Self>, expiries: Expiries) {
        let batch = self.batch(&expiries);
        let result = self.quorum.propose(batch.encode_to_vec().into()).await;
        if result.is_ok() {
            self.meters.expiries.increment(expiries.sessions.len() as u64);
            for silent in &expiries.sessions {
                tracing::info!(session = silent.id, silent_ms = silent.silent.as_millis(), "session ended by silence");
            }
        }
        let now = self.clock.now();
        let mut watched = self.lock();
        if watched.term != Some(expiries.term) {
            return;
        }
        let watched = &mut *watched;
        for (table, silent) in [(&mut watched.sessions, &expiries.sessions), (&mut watched.clients, &expiries.clients)]
        {
            for silent in silent {
                match &result {
                    // Whoever is still there was spared by the state machine, for whatever reason.
                    Ok(_) | Err(ProposeError::NotLeader(_) | ProposeError::RetryLater) => table.revive(silent.id, now),
                    Err(ProposeError::Unknown(_)) => table.blame_again(silent.id, now),
                }
            }
        }
    }

    fn batch(&self, expiries: &Expiries) -> proto::Batch {
        let state = self.quorum.state();
        let labels = labels(&state, &expiries.sessions);
        let wall_clock_ms = wall_clock_ms();
        let sessions = expiries.sessions.iter().zip(labels).map(|(silent, label)| {
            proto::command::Command::EndSession(proto::EndSession {
                session: silent.id,
                certificate: Some(self.certificate(silent, label, wall_clock_ms)),
            })
        });
        let clients = expiries
            .clients
            .iter()
            .map(|silent| proto::command::Command::EndClient(proto::EndClient { client: silent.id }));
        let proposals = sessions
            .chain(clients)
            .map(|command| proto::Proposal {
                command: Some(proto::Command { command: Some(command) }),
                ..proto::Proposal::default()
            })
            .collect();
        proto::Batch { proposals }
    }

    fn certificate(&self, silent: &Silent, label: String, wall_clock_ms: u64) -> proto::DeathCertificate {
        proto::DeathCertificate {
            session: silent.id,
            label,
            reason: proto::SessionEndReason::Expired.into(),
            ttl_ms: millis(silent.ttl),
            silent_ms: millis(silent.silent),
            round_trips_us: silent.round_trips.clone(),
            leader_changes: silent.leader_changes.into(),
            leader_stalls: silent.stalls.into(),
            leader: self.member,
            wall_clock_ms,
            ..proto::DeathCertificate::default()
        }
    }

    /// Whether this member may speak about sessions now.
    fn serving(&self, watched: &Watched, now: Duration) -> Result<(), Failed> {
        let leadership = self.quorum.leadership();
        let leadership = leadership.borrow();
        if !leadership.leading {
            return Err(not_leader(leadership.leader.as_ref()));
        }
        if !leadership.ready || watched.term != Some(leadership.term) {
            return Err(refused(proto::Failure::Unavailable, "this member has just begun to lead"));
        }
        if watched.gap(now).suspended > SUSPENDED_AFTER || !watched.is_confirmed(self.quorum.confirmed_until()) {
            return Err(refused(
                proto::Failure::Unavailable,
                "this member leads, but no quorum has confirmed it lately",
            ));
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn begin_to_lead(&mut self, term: u64, now: Duration) {
        self.term = Some(term);
        self.deaf = false;
        self.distrusted = None;
        self.sessions.renew_all(now, Renewal::LeaderChange);
        self.clients.renew_all(now, Renewal::LeaderChange);
    }

    fn gap(&self, now: Duration) -> Gap {
        let Some((ticked, at)) = self.ticked else { return Gap::default() };
        let whole = now.saturating_sub(ticked);
        Gap { whole, suspended: whole.saturating_sub(at.elapsed()) }
    }

    /// Nothing was heard in the gap, though it may have been said.
    fn stalled(&mut self, gap: Gap, confirmed_until: Option<Instant>) {
        if gap.suspended > SUSPENDED_AFTER {
            self.distrusted = confirmed_until;
            self.deaf = true;
        } else if gap.whole > STALL_LONG {
            self.deaf = true;
        } else {
            self.sessions.extend_all(gap.whole);
            self.clients.extend_all(gap.whole);
        }
    }

    fn is_confirmed(&self, until: Option<Instant>) -> bool {
        until.is_some_and(|until| until > Instant::now() && self.distrusted.is_none_or(|before| until > before))
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sessions").field("member", &self.member).finish_non_exhaustive()
    }
}

fn concerns(change: &Change) -> bool {
    match change {
        Change::SessionOpened { .. }
        | Change::SessionEnded { .. }
        | Change::ClientRegistered { .. }
        | Change::ClientEnded { .. } => true,
        Change::Put { .. } | Change::Delete { .. } | Change::LockGranted { .. } | Change::LockGone { .. } => false,
    }
}

/// The labels of these sessions, in their order.
fn labels(state: &StateMachine, silent: &[Silent]) -> Vec<String> {
    let wanted: std::collections::BTreeSet<u64> = silent.iter().map(|silent| silent.id).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let found: std::collections::BTreeMap<u64, String> = state
        .sessions()
        .filter(|session| wanted.contains(&session.id.get()))
        .map(|session| (session.id.get(), session.label.to_owned()))
        .collect();
    silent.iter().map(|silent| found.get(&silent.id).cloned().unwrap_or_default()).collect()
}

fn refused(failure: proto::Failure, message: &str) -> Failed {
    Failed::refused(failure, message)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of a count far below 2^52")]
fn count(len: usize) -> f64 {
    len as f64
}

#[expect(clippy::disallowed_methods, reason = "shown to people in the death certificate; nothing is decided by it")]
fn wall_clock_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, millis)
}

#[cfg(test)]
mod tests;
