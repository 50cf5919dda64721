//! Election: at most one leader, known to everybody, by a lock and a record that it guards.

mod leadership;
mod observer;
mod record;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::{
    Check, Error, ErrorKind, ForeignOwner, Key, Lifetime, LockName, LockWait, Mutation, RegistryClient, Result,
    Session, Transaction,
};

pub use leadership::Leadership;
pub use observer::LeaderObserver;
pub use record::Leader;
pub(crate) use record::token_of;

/// An election: candidates queue for a lock named as the key, and the holder's record is the value of the key.
///
/// The record is ephemeral and is written only while the lock is held, so it never outlives the leader's session, and a
/// former leader cannot overwrite its successor's. Terms are told apart by their [token](Leader::token), which grows
/// with every leader.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use registry_api::{Election, RegistryClient, SessionOptions, memory::MemoryStore};
///
/// let client = RegistryClient::new(MemoryStore::new().client());
/// let election = Election::new(client.clone(), "/leader".parse()?, "127.0.0.1:7001");
/// let session = client.open_session(SessionOptions::default()).await?;
/// let leadership = election.campaign(&session).await?;
/// let leader = election.leader().await?;
/// assert_eq!(leader.map(|leader| leader.token), Some(leadership.token()));
/// leadership.resign().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    client: RegistryClient,
    key: Key,
    candidate: Bytes,
}

impl Election {
    /// The election at `key`, with `candidate` (at most 512 KiB less 64 bytes) as what the others are told of this
    /// candidate: an address, for example.
    #[must_use]
    pub fn new(client: RegistryClient, key: Key, candidate: impl Into<Bytes>) -> Self {
        Self { client, key, candidate: candidate.into() }
    }

    /// The key of the record, and the name of the lock.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Waits until this candidate leads. Candidates are served in the order of their campaigns.
    ///
    /// # Errors
    ///
    /// [`SessionEnded`](ErrorKind::SessionEnded): also when the session ends while it waits. Any error of the write of the
    /// record; the lock is given back then.
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up the candidature; leadership that had just been won is resigned in the background.
    pub async fn campaign(&self, session: &Session) -> Result<Leadership> {
        let mut guard = session.lock(&LockName::from(&self.key), LockWait::Forever).await?;
        guard.owe_record(self.key.clone());
        let leader = Leader { candidate: self.candidate.clone(), token: guard.token() };
        // Taking over is safe: whoever owns the record does not hold the lock any more.
        let put = Mutation::Put {
            key: self.key.clone(),
            value: leader.encode(),
            lifetime: Lifetime::Ephemeral(session.id()),
            foreign_owner: ForeignOwner::TakeOver,
        };
        let transaction = Transaction::builder().check(Check::LockHeld(guard.grant().clone())).mutate(put).build();
        let transaction = transaction.map_err(|error| self.invalid(error))?;
        session.learn_from(session.client().commit(transaction).await)?;
        Ok(Leadership::new(guard))
    }

    /// Who leads now; `None` between two leaders.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::get`](crate::Registry::get).
    pub async fn leader(&self) -> Result<Option<Leader>> {
        let entry = self.client.get(&self.key).await?;
        Ok(entry.and_then(|entry| Leader::decode(&entry.value)))
    }

    /// Who leads, now and from now on. The stream begins with the current leader, tells every change, and survives
    /// errors of the subscription (see [`LeaderObserver`]).
    #[must_use]
    pub fn observe(&self) -> LeaderObserver {
        LeaderObserver::new(&self.client, self.key.clone())
    }

    fn invalid(&self, error: crate::TransactionError) -> Error {
        self.client
            .refusal(ErrorKind::InvalidArgument, crate::Operation::Commit, error.to_string())
            .with_key(self.key.clone())
            .with_source(error)
    }
}
