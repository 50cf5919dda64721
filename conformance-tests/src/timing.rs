//! Every duration that cases use, so that a slow backend or machine changes one place.

use std::time::Duration;

/// How long things take on one backend.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The longest wait for an event that must come. Never part of a verdict about speed: only how long a case looks
    /// before it says that the event did not come.
    pub patience: Duration,
    /// The time to live of sessions that are meant to expire: as short as the backend grants without doubt.
    pub session_ttl: Duration,
    /// The time to live of sessions that must not expire while a case runs.
    pub long_ttl: Duration,
    /// How late after its ttl a silent session may end (the bound of guarantee G4).
    pub late_bound: Duration,
    /// Whether the ttls of all sessions begin again when the backend changes its leader.
    pub leader_change: LeaderChange,
    /// The longest that one request takes before it fails.
    pub request_timeout: Duration,
    /// The longest that one whole case may take.
    pub case_limit: Duration,
    /// How many cases run at once: many where they only wait, fewer where the servers share the machine.
    pub parallel: usize,
    /// How many of the cases that have a cluster of their own run at once: more than one where they mostly wait.
    pub parallel_apart: usize,
}

/// What a change of the leader does to the ttls of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderChange {
    /// Nothing, or there is no leader to change.
    KeepsDeadlines,
    /// Every session gets a whole ttl again: one leader change may add one ttl to an expiry.
    RestartsTtls,
}

impl Default for Timing {
    /// For a backend in the same process or on the same machine, with ttls of about a second.
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(30),
            session_ttl: Duration::from_secs(1),
            long_ttl: Duration::from_secs(60),
            late_bound: Duration::from_millis(500),
            leader_change: LeaderChange::KeepsDeadlines,
            request_timeout: Duration::from_secs(5),
            case_limit: Duration::from_secs(150),
            parallel: 24,
            parallel_apart: 1,
        }
    }
}
