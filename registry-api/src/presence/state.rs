//! How a presence stands, as a value that can be watched.

use tokio::sync::watch;

use crate::{Revision, Session, SessionId};

/// How a presence stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceState {
    /// The key is put and belongs to this session.
    Registered {
        /// The session.
        session: SessionId,
        /// The revision of the registration in this session.
        revision: Revision,
    },
    /// The session was lost; a new registration is under way. What this process does for others must stop.
    Lost,
    /// The key is held by somebody else. It is left alone, and tried again in case the other goes away.
    Conflict {
        /// The session that holds it; `None` for a persistent key.
        owner: Option<SessionId>,
    },
    /// It was withdrawn. Final.
    Withdrawn,
}

/// Watches the state of a [`Presence`](crate::Presence). A late watcher sees the current state first.
#[derive(Clone, Debug)]
pub struct PresenceWatch {
    states: watch::Receiver<PresenceState>,
    session: watch::Receiver<Session>,
    told: Option<PresenceState>,
}

impl PresenceWatch {
    pub(super) fn new(states: watch::Receiver<PresenceState>, session: watch::Receiver<Session>) -> Self {
        Self { states, session, told: None }
    }

    /// The state now, by the clock: a loss shows at the first look after a freeze.
    #[must_use]
    pub fn state(&self) -> PresenceState {
        let state = self.states.borrow().clone();
        let session = self.session.borrow();
        match &state {
            PresenceState::Registered { session: id, .. } if *id == session.id() && !session.is_alive() => {
                PresenceState::Lost
            }
            _ => state,
        }
    }

    /// The next state that this watch has not told yet: the current one at first; `None` when the presence is gone.
    /// States that follow each other quickly may be told as the last of them, but a loss is always told: between the
    /// registrations of two sessions comes [`PresenceState::Lost`].
    ///
    /// # Cancellation
    ///
    /// Safe: a state that was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<PresenceState> {
        loop {
            let current = self.states.borrow_and_update().clone();
            let next = if self.missed_a_loss(&current) { PresenceState::Lost } else { current };
            if self.told.as_ref() != Some(&next) {
                self.told = Some(next.clone());
                return Some(next);
            }
            self.states.changed().await.ok()?;
        }
    }

    fn missed_a_loss(&self, current: &PresenceState) -> bool {
        match (&self.told, current) {
            (
                Some(PresenceState::Registered { session: before, .. }),
                PresenceState::Registered { session: now, .. },
            ) => before != now,
            _ => false,
        }
    }
}
