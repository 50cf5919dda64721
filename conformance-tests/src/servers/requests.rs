//! How many requests operations take, as the server counts them: as many on every machine.

use registry_api::{Key, LockName, LockWait, ReadLevel, RegistryClient};

use super::solo::Server;
use crate::Outcome;

/// So many that what is asked in the background meanwhile, pings for example, is less than one for each.
const COUNTED: u64 = 100;

/// Requests for one operation of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// A put of a key that is there.
    pub put: u64,
    /// The same, of a key that has children, and that was only their parent once.
    pub put_of_parent: u64,
    /// A linearizable get.
    pub get: u64,
    /// A stale get.
    pub stale_get: u64,
    /// An ephemeral put and the delete of the key.
    pub ephemeral: u64,
    /// A lock that is free, acquired and released.
    pub lock: u64,
    /// A put that a lock of the same client guards.
    pub guarded_put: u64,
}

impl Requests {
    /// What this client takes, which has to be the only one of the server.
    ///
    /// # Errors
    ///
    /// What an operation fails with.
    pub async fn count(server: &Server, client: &RegistryClient) -> Outcome<Self> {
        let session = client.open_session(client.session_options()).await?;
        let (key, parent): (Key, Key) = ("/a/key/far/below/the/root".parse()?, "/a/key/far".parse()?);
        let other: Key = "/a/key/that/comes/and/goes".parse()?;
        // The parent of what comes and goes is not one that is removed meanwhile.
        client.put(&"/a/key/that/comes/and/stays".parse()?, "here").await?;
        let lock: LockName = "/a/lock".parse()?;
        let put = async || Ok(client.put(&key, "value").await.map(drop)?);
        let put_of_parent = async || Ok(client.put(&parent, "value").await.map(drop)?);
        let get = async || Ok(client.get(&key).await.map(drop)?);
        let stale_get = async || Ok(client.lookup(&key, ReadLevel::Stale).await.map(drop)?);
        let ephemeral = async || {
            session.put(&other, "here").await?;
            Ok(client.delete(&other).await.map(drop)?)
        };
        let acquired_and_released = async || Ok(session.lock(&lock, LockWait::Forever).await?.release().await?);
        let mut taken = Self {
            put: each(server, put).await?,
            put_of_parent: each(server, put_of_parent).await?,
            get: each(server, get).await?,
            stale_get: each(server, stale_get).await?,
            ephemeral: each(server, ephemeral).await?,
            lock: each(server, acquired_and_released).await?,
            guarded_put: 0,
        };
        let guard = session.lock(&lock, LockWait::Forever).await?;
        taken.guarded_put = each(server, async || Ok(guard.put(&key, "value").await.map(drop)?)).await?;
        Ok(taken)
    }
}

/// How many requests one operation takes, without what else is asked meanwhile.
async fn each(server: &Server, operation: impl AsyncFn() -> Outcome) -> Outcome<u64> {
    // The first one may have to create what the others find.
    operation().await?;
    let before = server.requests().await?;
    for _ in 0..COUNTED {
        operation().await?;
    }
    Ok(server.requests().await?.saturating_sub(before) / COUNTED)
}
