//! The life of a session as its holder may believe in it: one value, moved forward only.

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::{Clock, Deadline, Moment, sleep_until};

/// How a session ended. Final: an ended session never revives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionEnd {
    /// It was closed by its holder.
    Closed,
    /// The backend said so.
    Expired,
    /// No heartbeat was confirmed in time, so the backend may have ended it: from here on nothing may rely on it.
    Presumed,
}

/// How a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Heartbeats are confirmed.
    Connected,
    /// Heartbeats are not confirmed for now; the session is presumed ended at the deadline.
    Suspended {
        /// Until when its keys and locks can be relied on.
        deadline: Deadline,
    },
    /// It has ended.
    Ended(SessionEnd),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connected,
    Suspended,
    Ended(SessionEnd),
}

#[derive(Clone, Copy, Debug)]
struct Status {
    phase: Phase,
    deadline: Moment,
}

impl Status {
    /// Whoever looks first after the deadline ends the session, so no later heartbeat can revive it.
    fn notice_deadline(&mut self, now: Moment) -> bool {
        let passed = !matches!(self.phase, Phase::Ended(_)) && now >= self.deadline;
        if passed {
            self.phase = Phase::Ended(SessionEnd::Presumed);
        }
        passed
    }
}

#[derive(Debug)]
pub(crate) struct Life {
    clock: Arc<dyn Clock>,
    status: watch::Sender<Status>,
}

impl Life {
    pub(crate) fn new(clock: Arc<dyn Clock>, deadline: Moment) -> Self {
        Self { clock, status: watch::Sender::new(Status { phase: Phase::Connected, deadline }) }
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) async fn sleep_until(&self, at: Moment) {
        sleep_until(&*self.clock, at).await;
    }

    /// The state at this moment, by the clock.
    pub(crate) fn state(&self) -> SessionState {
        let status = self.look();
        match status.phase {
            Phase::Connected => SessionState::Connected,
            Phase::Suspended => SessionState::Suspended { deadline: self.deadline_at(status.deadline) },
            Phase::Ended(end) => SessionState::Ended(end),
        }
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline_at(self.status.borrow().deadline)
    }

    pub(crate) fn end_seen(&self) -> Option<SessionEnd> {
        match self.look().phase {
            Phase::Ended(end) => Some(end),
            Phase::Connected | Phase::Suspended => None,
        }
    }

    /// A heartbeat was confirmed: the session lives until `deadline` at least. Too late for a session that has ended.
    pub(crate) fn confirm(&self, deadline: Moment) {
        let now = self.clock.now();
        self.status.send_if_modified(|status| {
            if status.notice_deadline(now) {
                return true;
            }
            if matches!(status.phase, Phase::Ended(_)) {
                return false;
            }
            status.deadline = status.deadline.max(deadline);
            let resumed = status.phase == Phase::Suspended;
            status.phase = Phase::Connected;
            resumed
        });
    }

    /// Heartbeats are not confirmed for now.
    pub(crate) fn suspend(&self) {
        let now = self.clock.now();
        self.status.send_if_modified(|status| {
            let ended = status.notice_deadline(now);
            let suspends = status.phase == Phase::Connected;
            if suspends {
                status.phase = Phase::Suspended;
            }
            ended || suspends
        });
    }

    /// Ends it, unless it has ended already; returns how it ended.
    pub(crate) fn end(&self, end: SessionEnd) -> SessionEnd {
        let now = self.clock.now();
        let mut how = end;
        self.status.send_if_modified(|status| {
            if status.notice_deadline(now) {
                how = SessionEnd::Presumed;
                return true;
            }
            if let Phase::Ended(before) = status.phase {
                how = before;
                return false;
            }
            status.phase = Phase::Ended(end);
            true
        });
        how
    }

    pub(crate) async fn ended(&self) -> SessionEnd {
        let mut changes = self.status.subscribe();
        loop {
            if let Some(end) = self.end_seen() {
                return end;
            }
            self.change(&mut changes).await;
        }
    }

    /// Waits until the status may have changed: by a message, or because the deadline has come.
    async fn change(&self, changes: &mut watch::Receiver<Status>) {
        let deadline = self.status.borrow().deadline;
        tokio::select! {
            _ = changes.changed() => {}
            () = sleep_until(&*self.clock, deadline) => {}
        }
    }

    fn look(&self) -> Status {
        let status = *self.status.borrow();
        let now = self.clock.now();
        if matches!(status.phase, Phase::Ended(_)) || now < status.deadline {
            return status;
        }
        self.status.send_if_modified(|status| status.notice_deadline(now));
        *self.status.borrow()
    }

    fn deadline_at(&self, at: Moment) -> Deadline {
        Deadline::new(at, self.clock.clone())
    }
}

/// Watches the state of a session. A late watcher sees the current state first.
#[derive(Debug)]
pub struct SessionWatch {
    life: Arc<Life>,
    changes: watch::Receiver<Status>,
    told: Option<SessionState>,
}

impl SessionWatch {
    pub(crate) fn new(life: Arc<Life>) -> Self {
        let changes = life.status.subscribe();
        Self { life, changes, told: None }
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.life.state()
    }

    /// The next state that this watch has not told yet: the current one at first; `None` after the end was told.
    ///
    /// # Cancellation
    ///
    /// Safe: a state that was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<SessionState> {
        if matches!(self.told, Some(SessionState::Ended(_))) {
            return None;
        }
        loop {
            let state = self.life.state();
            if self.told.as_ref() != Some(&state) {
                self.told = Some(state.clone());
                return Some(state);
            }
            self.life.change(&mut self.changes).await;
        }
    }
}
