//! The limits of the state machine. They are part of its behaviour: every member must have the same, so they are
//! constants and no configuration. At a limit, whatever frees (delete, release, end of a session) still works.

/// How much the state may hold.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Keys.
    pub(crate) keys: usize,
    /// Bytes of keys and values together.
    pub(crate) bytes: u64,
    /// Open sessions.
    pub(crate) sessions: usize,
    /// Ephemeral keys of one session.
    pub(crate) keys_per_session: usize,
    /// Locks that one session holds or waits for.
    pub(crate) places_per_session: usize,
    /// Lock requests given up that a session remembers, so that none of them takes a place when it comes late.
    pub(crate) given_up_per_session: usize,
    /// Waiters of one lock.
    pub(crate) waiters: usize,
    /// Client identities; a new one ends the least recently used one.
    pub(crate) clients: usize,
    /// Commands of one client that are not known to be answered.
    pub(crate) window: u64,
    /// Bytes of remembered outcomes of one client; the oldest are forgotten first, and a command that is sent again
    /// after that has an unknown outcome.
    pub(crate) outcome_bytes_per_client: u64,
    /// Bytes of remembered outcomes of all clients; the least recently used identities end.
    pub(crate) outcome_bytes: u64,
    /// Revisions of the history.
    pub(crate) history_revisions: usize,
    /// Bytes of the entries in the history, previous ones counted too.
    pub(crate) history_bytes: u64,
    /// Death certificates.
    pub(crate) deaths: usize,
}

/// The limits of every member.
pub(crate) const LIMITS: Limits = Limits {
    keys: 1_000_000,
    bytes: 1 << 30,
    sessions: 20_000,
    keys_per_session: 10_000,
    places_per_session: 10_000,
    given_up_per_session: 64,
    waiters: 1_000,
    clients: 65_536,
    window: 4_096,
    outcome_bytes_per_client: 2 << 20,
    outcome_bytes: 64 << 20,
    history_revisions: 16_384,
    history_bytes: 64 << 20,
    deaths: 256,
};

/// What a remembered outcome is counted with beyond its text.
pub(super) const OUTCOME_OVERHEAD: u64 = 256;
/// What an event of the history is counted with beyond its keys and values.
pub(super) const EVENT_OVERHEAD: u64 = 256;
/// The longest nonce of a client, in bytes.
pub(super) const NONCE_LEN_MAX: usize = 64;
/// The most round trips that a death certificate keeps.
pub(super) const ROUND_TRIPS_MAX: usize = 32;
/// Counters and ids of a snapshot are below this, so that counting on from it never overflows.
pub(super) const COUNTER_MAX: u64 = u64::MAX / 2;
