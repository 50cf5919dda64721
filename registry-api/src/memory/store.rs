//! The store that several clients share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::MemoryRegistry;
use super::expiry::Expiry;
use super::failure::Failure;
use super::link::{Link, Reachability};
use super::state::State;
use crate::SessionId;

/// The limits of a [`MemoryStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryOptions {
    /// How long a request waits for an answer while the store is [`Reachability::Silent`]; 5 s by default.
    pub request_timeout: Duration,
    /// How many events are kept to resume subscriptions from; 10 000 by default, and at most 16 MiB of values.
    pub history_len: usize,
    /// How many events a subscription may be behind before it gets a snapshot instead; 1024 by default, and at most
    /// 16 MiB of values.
    pub subscription_len: usize,
    /// How many keys are kept; 1 000 000 by default.
    pub keys_max: usize,
    /// How many sessions are open at the same time; 100 000 by default.
    pub sessions_max: usize,
    /// How many requests wait for one lock; 10 000 by default.
    pub waiters_max: usize,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(5),
            history_len: 10_000,
            subscription_len: 1024,
            keys_max: 1_000_000,
            sessions_max: 100_000,
            waiters_max: 10_000,
        }
    }
}

/// What a [`MemoryStore`] holds: to show that nothing was left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Keys that exist.
    pub keys: usize,
    /// Sessions that live.
    pub sessions: usize,
    /// Locks that are held.
    pub locks: usize,
    /// Requests that wait for locks.
    pub waiters: usize,
    /// Subscriptions that were not dropped.
    pub subscriptions: usize,
    /// Events kept to resume from.
    pub history: usize,
}

/// A store in this process. Clones are the same store; each [`client`](MemoryStore::client) is a connection of its own.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::with_options(MemoryOptions::default())
    }

    /// An empty store.
    #[must_use]
    pub fn with_options(options: MemoryOptions) -> Self {
        let shared =
            Shared { state: Mutex::new(State::new(options)), links: Mutex::default(), expiry: Expiry::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Another client of this store.
    #[must_use]
    pub fn client(&self) -> Arc<MemoryRegistry> {
        let link = Arc::new(self.shared.connect());
        self.shared.links().known.push(Arc::downgrade(&link));
        Arc::new(MemoryRegistry::new(self.shared.clone(), link))
    }

    /// Cuts every client off, those to come included, or connects them again. A client that was cut off by itself
    /// ([`MemoryRegistry::set_reachable`]) stays so.
    pub fn set_reachable(&self, reachability: Reachability) {
        {
            let mut links = self.shared.links();
            links.store = reachability;
            links.known.retain(|link| link.strong_count() > 0);
            for link in links.known.iter().filter_map(Weak::upgrade) {
                link.set_store(reachability);
            }
        }
        self.shared.lock().feed.wake_all();
    }

    /// Ends a session as if it had expired.
    pub fn expire_session(&self, session: SessionId) {
        self.shared.lock().end_session(session, Instant::now());
    }

    /// What the store holds now.
    #[must_use]
    pub fn usage(&self) -> MemoryUsage {
        self.shared.lock().usage()
    }
}

pub(super) struct Shared {
    state: Mutex<State>,
    links: Mutex<Links>,
    expiry: Expiry,
}

/// Shows none of the store's values.
impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Links {
    store: Reachability,
    known: Vec<Weak<Link>>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> Link {
        let mut links = self.links();
        links.known.retain(|link| link.strong_count() > 0);
        Link::new(links.store)
    }

    /// Applies one request, after ending the sessions that are due by now.
    pub(super) fn apply<T>(
        self: &Arc<Self>,
        request: impl FnOnce(&mut State, Instant) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let now = Instant::now();
        let mut state = self.lock();
        state.expire(now);
        let sessions_before = state.sessions_opened;
        let result = request(&mut state, now);
        let opened = state.sessions_opened > sessions_before;
        drop(state);
        if opened {
            self.expiry.watch(self);
        }
        result
    }
}
