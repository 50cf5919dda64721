//! The little that a measured store has to do: the same for the contract and for the client libraries below it.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use registry_api::{Event, Key, LockName, LockWait, ReadLevel, RegistryClient, Scope, Session};
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
    /// Waits for a lock, for a session that all callers share, and gives it back; `held` is called in between.
    async fn hold(&self, name: &LockName, held: &(dyn Fn() + Sync)) -> Outcome<()>;
    /// Tells of every change of the keys right below this one from now on.
    async fn subscribe(&self, parent: &Key) -> Outcome<Values>;
    /// Lets the session go, and the connection if nobody else has it.
    async fn close(&self);
}

/// What ephemeral keys have as their value.
pub(crate) const HERE: &[u8] = b"here";

/// The values that were put.
pub(crate) type Values = BoxStream<'static, Outcome<Bytes>>;

/// The contract.
pub(crate) struct Contract {
    client: RegistryClient,
    session: OnceCell<Session>,
    is_shared: bool,
}

impl Contract {
    pub(crate) fn new(client: RegistryClient) -> Self {
        Self { client, session: OnceCell::new(), is_shared: false }
    }

    /// A session of its own on a connection that others have, too.
    pub(crate) fn sharing(client: RegistryClient) -> Self {
        Self { is_shared: true, ..Self::new(client) }
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

    async fn hold(&self, name: &LockName, held: &(dyn Fn() + Sync)) -> Outcome<()> {
        let guard = self.session().await?.lock(name, LockWait::Forever).await.map_err(line)?;
        held();
        guard.release().await.map_err(line)
    }

    async fn subscribe(&self, parent: &Key) -> Outcome<Values> {
        let events = self.client.subscribe(&Scope::Children(parent.clone())).await.map_err(line)?;
        let value = async |event| match event {
            Event::Put { entry, .. } => Ok(Some(entry.value)),
            _ => Ok(None),
        };
        Ok(events.map_err(line).try_filter_map(value).boxed())
    }

    async fn close(&self) {
        if let Some(session) = self.session.get() {
            let _ = session.close().await;
        }
        if !self.is_shared {
            let _ = self.client.close().await;
        }
    }
}
