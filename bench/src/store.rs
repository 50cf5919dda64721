//! The little that a measured store has to do: the same for the contract and for the client libraries below it.

use async_trait::async_trait;
use bytes::Bytes;
use registry_api::{Key, LockName, LockWait, ReadLevel, RegistryClient, Session};
use tokio::sync::OnceCell;

use crate::{Outcome, line};

/// Keys with values.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// Creates a key or replaces its value.
    async fn put(&self, key: &Key, value: Bytes) -> Outcome<()>;
    /// Reads a key that is there.
    async fn get(&self, key: &Key, level: ReadLevel) -> Outcome<()>;
    /// Creates an ephemeral key, of a session that all callers share, and deletes it.
    async fn come_and_go(&self, key: &Key) -> Outcome<()>;
    /// Takes a lock that nobody else wants, for a session that all callers share, and gives it back.
    async fn hold(&self, name: &LockName) -> Outcome<()>;
    /// Lets the connection go, and the session.
    async fn close(&self);
}

/// What ephemeral keys have as their value.
pub(crate) const HERE: &[u8] = b"here";

/// The contract.
pub(crate) struct Contract {
    client: RegistryClient,
    session: OnceCell<Session>,
}

impl Contract {
    pub(crate) fn new(client: RegistryClient) -> Self {
        Self { client, session: OnceCell::new() }
    }

    async fn session(&self) -> Outcome<&Session> {
        let open = || self.client.open_session(self.client.session_options());
        self.session.get_or_try_init(open).await.map_err(line)
    }
}

#[async_trait]
impl Store for Contract {
    async fn put(&self, key: &Key, value: Bytes) -> Outcome<()> {
        self.client.put(key, value).await.map(drop).map_err(line)
    }

    async fn get(&self, key: &Key, level: ReadLevel) -> Outcome<()> {
        let found = self.client.lookup(key, level).await.map_err(line)?;
        found.entry.map(drop).ok_or_else(|| format!("{key} is not there"))
    }

    async fn come_and_go(&self, key: &Key) -> Outcome<()> {
        self.session().await?.put(key, HERE).await.map_err(line)?;
        self.client.delete(key).await.map(drop).map_err(line)
    }

    async fn hold(&self, name: &LockName) -> Outcome<()> {
        let guard = self.session().await?.lock(name, LockWait::Forever).await.map_err(line)?;
        guard.release().await.map_err(line)
    }

    async fn close(&self) {
        if let Some(session) = self.session.get() {
            let _ = session.close().await;
        }
        let _ = self.client.close().await;
    }
}
