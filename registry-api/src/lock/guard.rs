//! The lock guard: proof of a lock that knows when it stops being one.

use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    Check, Committed, DeleteOptions, Deleted, Effect, Error, ErrorKind, FencingToken, GiveBack, Key, LockGrant,
    LockName, Mutation, Operation, Precondition, PutOptions, Result, Revision, Scope, Session, Transaction,
    TransactionBuilder,
};

/// A lock that is held. It is held while its session lives and nobody released it.
///
/// [`check`](LockGuard::check) is a local comparison of clocks and tells whether the lock can be relied on at this
/// moment. It cannot see into the future: what must not happen twice is written through the guard
/// ([`put`](LockGuard::put), [`delete`](LockGuard::delete), [`commit`](LockGuard::commit)), where the backend checks the
/// lock at the moment of the write, or to a store that refuses smaller [tokens](LockGuard::token).
///
/// Dropping the guard releases the lock in the background: retried until it is released or its session has ended, never
/// waited for. [`release`](LockGuard::release) tells the result.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use registry_api::{Key, LockWait, RegistryClient, SessionOptions, memory::MemoryStore};
///
/// let client = RegistryClient::new(MemoryStore::new().client());
/// let session = client.open_session(SessionOptions::default()).await?;
/// let guard = session.lock(&"/locks/plan".parse()?, LockWait::Forever).await?;
/// let plan: Key = "/plan".parse()?;
/// guard.put(&plan, "made by one").await?;
/// guard.release().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the lock is released when its guard is dropped"]
pub struct LockGuard {
    session: Session,
    grant: LockGrant,
    lost: watch::Sender<bool>,
    /// What dropping gives back; `None` when nothing is left to give.
    owed: Option<GiveBack>,
}

impl LockGuard {
    pub(crate) fn new(session: Session, grant: LockGrant) -> Self {
        let owed = Some(GiveBack::Lock(grant.clone()));
        Self { session, grant, lost: watch::Sender::new(false), owed }
    }

    /// From here on, this record is given back with the lock.
    pub(crate) fn owe_record(&mut self, record: Key) {
        self.owed = Some(GiveBack::Leadership { grant: self.grant.clone(), record });
    }

    /// Which lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.grant.name
    }

    /// The token of this grant: larger than every one before.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.grant.token
    }

    /// The grant, for preconditions and transactions.
    #[must_use]
    pub fn grant(&self) -> &LockGrant {
        &self.grant
    }

    /// The session that holds it.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Whether the lock can be relied on at this moment: compares clocks, asks nobody, costs well under a microsecond,
    /// and is exact also right after the process or the machine was frozen.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost).
    pub fn check(&self) -> Result<()> {
        self.check_for(Operation::CheckLock)
    }

    /// Waits until the lock is lost: no later than anybody else can get it.
    ///
    /// # Cancellation
    ///
    /// Safe.
    pub async fn lost(&self) {
        let mut lost = self.lost.subscribe();
        tokio::select! {
            _end = self.session.ended() => {}
            _told = lost.wait_for(|lost| *lost) => {}
        }
    }

    /// Puts a persistent key, if the lock is held at the moment of the change.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost), and those of [`Registry::put`](crate::Registry::put).
    pub async fn put(&self, key: &Key, value: impl Into<Bytes>) -> Result<Revision> {
        self.put_with(key, value, PutOptions::default()).await
    }

    /// Puts a key, if the lock is held and the precondition of `options` holds at the moment of the change.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost), and those of [`Registry::put`](crate::Registry::put).
    pub async fn put_with(&self, key: &Key, value: impl Into<Bytes>, options: PutOptions) -> Result<Revision> {
        let value = value.into();
        let check = match &options.precondition {
            Precondition::None => {
                self.check_for(Operation::Put)?;
                let options = options.when(Precondition::LockHeld(self.grant.clone()));
                return self.learn_from(self.session.client().put_with(key, value, options).await);
            }
            Precondition::Absent => Check::Absent(key.clone()),
            Precondition::At(revision) => Check::At(key.clone(), *revision),
            Precondition::OwnedBy(session) => Check::OwnedBy(key.clone(), *session),
            Precondition::LockHeld(grant) => Check::LockHeld(grant.clone()),
        };
        let PutOptions { lifetime, foreign_owner, .. } = options;
        let put = Mutation::Put { key: key.clone(), value, lifetime, foreign_owner };
        Ok(self.commit_built(Transaction::builder().check(check).mutate(put)).await?.revision)
    }

    /// Deletes one key, if the lock is held at the moment of the change.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost), and those of [`Registry::delete`](crate::Registry::delete).
    pub async fn delete(&self, key: &Key) -> Result<Deleted> {
        self.delete_scope(&Scope::Key(key.clone())).await
    }

    /// Deletes every key of a scope, if the lock is held at the moment of the change.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost), and those of [`Registry::delete`](crate::Registry::delete).
    pub async fn delete_scope(&self, scope: &Scope) -> Result<Deleted> {
        self.check_for(Operation::Delete)?;
        let options = DeleteOptions::when(Precondition::LockHeld(self.grant.clone()));
        self.learn_from(self.session.client().delete_with(scope, options).await)
    }

    /// Commits a transaction, if the lock is held at the moment of the change.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost); [`InvalidArgument`](ErrorKind::InvalidArgument) where the check of the lock does
    /// not fit into the transaction any more; those of [`Registry::commit`](crate::Registry::commit).
    pub async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        self.check_for(Operation::Commit)?;
        let other_locks = transaction.checks().iter().any(|check| matches!(check, Check::LockHeld(_)));
        let guarded = transaction.guarded_by(self.grant.clone()).map_err(|error| self.invalid(error))?;
        let result = self.session.client().commit(guarded).await;
        // Where more than one lock is checked, the answer does not say which was lost.
        if other_locks { result } else { self.learn_from(result) }
    }

    /// Gives the lock back; the first waiter gets it.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost): it was lost before. After any other error the release goes on in the background
    /// until it succeeds or the session has ended.
    ///
    /// # Cancellation
    ///
    /// The release goes on in the background.
    pub async fn release(mut self) -> Result<()> {
        self.check_for(Operation::Release)?;
        let Some(owed) = self.owed.clone() else { return Ok(()) };
        let result = owed.attempt(self.session.client()).await;
        let settled = match &result {
            Ok(()) => true,
            Err(error) => *error.kind() == ErrorKind::LockLost,
        };
        if settled {
            self.owed = None;
        }
        self.learn_from(result)
    }

    async fn commit_built(&self, builder: TransactionBuilder) -> Result<Committed> {
        let transaction = builder.build().map_err(|error| self.invalid(error))?;
        self.commit(transaction).await
    }

    fn check_for(&self, operation: Operation) -> Result<()> {
        if self.session.is_alive() && !*self.lost.borrow() {
            return Ok(());
        }
        let message = "the lock is not held any more: its session ended, or it was taken away";
        Err(self.session.client().refusal(ErrorKind::LockLost, operation, message))
    }

    fn learn_from<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && *error.kind() == ErrorKind::LockLost
        {
            self.lost.send_replace(true);
        }
        result
    }

    fn invalid(&self, error: crate::TransactionError) -> Error {
        let message = error.to_string();
        let backend = self.session.client().backend();
        Error::new(ErrorKind::InvalidArgument, Effect::NotApplied, Operation::Commit, backend, message)
            .with_source(error)
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if let Some(owed) = self.owed.take() {
            self.session.give_back(owed);
        }
    }
}
