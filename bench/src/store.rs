//! The little that a measured store has to do: the same for the contract and for the client libraries below it.

use async_trait::async_trait;
use bytes::Bytes;
use registry_api::{Key, ReadLevel, RegistryClient};

use crate::{Outcome, line};

/// Keys with values.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// Creates a key or replaces its value.
    async fn put(&self, key: &Key, value: Bytes) -> Outcome<()>;
    /// Reads a key that is there.
    async fn get(&self, key: &Key, level: ReadLevel) -> Outcome<()>;
    /// Lets the connection go.
    async fn close(&self);
}

#[async_trait]
impl Store for RegistryClient {
    async fn put(&self, key: &Key, value: Bytes) -> Outcome<()> {
        RegistryClient::put(self, key, value).await.map(drop).map_err(line)
    }

    async fn get(&self, key: &Key, level: ReadLevel) -> Outcome<()> {
        let found = self.lookup(key, level).await.map_err(line)?;
        found.entry.map(drop).ok_or_else(|| format!("{key} is not there"))
    }

    async fn close(&self) {
        let _ = RegistryClient::close(self).await;
    }
}
