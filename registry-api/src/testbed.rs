//! What the tests of the handles share: a store, clients of it, and a clock that can be frozen.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::TestClock;
use crate::memory::{MemoryOptions, MemoryRegistry, MemoryStore};
use crate::{ClientOptions, Key, LockName, RegistryClient, Session, SessionOptions};

/// The ttl of the sessions of tests.
pub(crate) const TTL: Duration = Duration::from_secs(10);

pub(crate) struct Testbed {
    pub(crate) store: MemoryStore,
    /// The connection of `client`, to be cut.
    pub(crate) registry: Arc<MemoryRegistry>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) client: RegistryClient,
}

impl Testbed {
    pub(crate) fn new() -> Self {
        Self::with_options(MemoryOptions::default())
    }

    pub(crate) fn with_options(options: MemoryOptions) -> Self {
        let store = MemoryStore::with_options(options);
        let registry = store.client();
        let clock = TestClock::new();
        let client = RegistryClient::with_clock(registry.clone(), ClientOptions::default(), clock.clone());
        Self { store, registry, clock, client }
    }

    /// Another client, with a connection and a clock of its own.
    pub(crate) fn other_client(&self) -> RegistryClient {
        RegistryClient::with_clock(self.store.client(), ClientOptions::default(), TestClock::new())
    }

    pub(crate) async fn session(&self) -> Session {
        self.client.open_session(SessionOptions::with_ttl(TTL)).await.unwrap()
    }

    pub(crate) async fn other_session(&self) -> Session {
        self.other_client().open_session(SessionOptions::with_ttl(TTL)).await.unwrap()
    }
}

pub(crate) fn key(text: &str) -> Key {
    text.parse().unwrap()
}

pub(crate) fn lock_name(text: &str) -> LockName {
    text.parse().unwrap()
}

/// Lets every task do what it can do without time passing.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}
