//! Sessions: identity, requested and granted time to live, and the handle that keeps one alive.

mod handle;
mod keeper;
mod life;
mod releases;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use handle::Session;
pub use life::{SessionEnd, SessionState, SessionWatch};
pub(crate) use releases::GiveBack;

/// The shortest time to live that may be asked for.
pub const SESSION_TTL_MIN: Duration = Duration::from_millis(500);
/// The longest time to live that may be asked for.
pub const SESSION_TTL_MAX: Duration = Duration::from_secs(600);
/// The time to live where nothing else is asked for.
pub const SESSION_TTL_DEFAULT: Duration = Duration::from_secs(10);

/// The longest label of a session, in bytes.
pub const SESSION_LABEL_LEN_MAX: usize = 255;

/// Names one session for ever: an id is never given to another session of the same store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct SessionId(u64);

impl SessionId {
    /// The session with this number; numbers are chosen by backends.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, as backends, logs and tools show it.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SessionId({:#x})", self.0)
    }
}

/// What is asked of a new session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// How long the session outlives its last heartbeat, between [`SESSION_TTL_MIN`] and [`SESSION_TTL_MAX`]. A backend
    /// may grant another value within its own limits.
    pub ttl: Duration,
    /// Who opens it, for operators: at most [`SESSION_LABEL_LEN_MAX`] bytes, shown by tools, never interpreted.
    pub label: String,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { ttl: SESSION_TTL_DEFAULT, label: String::new() }
    }
}

impl SessionOptions {
    /// A session with this time to live.
    #[must_use]
    pub fn with_ttl(ttl: Duration) -> Self {
        Self { ttl, ..Self::default() }
    }
}

/// A session that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionGrant {
    /// Its id.
    pub id: SessionId,
    /// The time to live that the backend granted.
    pub ttl: Duration,
}

/// A heartbeat that the backend took: the session lives for at least `ttl` from the moment the heartbeat was *sent*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The time to live from here.
    pub ttl: Duration,
}
