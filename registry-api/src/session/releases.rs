//! What guards gave up without waiting: locks that are released in the background.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::backoff::Backoff;
use crate::{
    Check, DeleteOptions, ErrorKind, Key, LockGrant, Precondition, RegistryClient, Result, Scope, Transaction,
};

/// One thing to give back.
#[derive(Clone, Debug)]
pub(crate) enum GiveBack {
    /// A lock.
    Lock(LockGrant),
    /// A lock and the record of its holder, which must not outlive it.
    Leadership {
        /// The lock.
        grant: LockGrant,
        /// The key of the record.
        record: Key,
    },
}

/// The list that guards write to and the session's keeper works off. Its length is bounded by the number of guards.
#[derive(Debug, Default)]
pub(crate) struct Releases {
    pending: Mutex<Vec<GiveBack>>,
    wake: Notify,
}

impl Releases {
    pub(crate) fn add(&self, what: GiveBack) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).push(what);
        self.wake.notify_one();
    }

    /// Waits until there is something to give back, and takes all of it.
    pub(crate) async fn take(&self) -> Vec<GiveBack> {
        loop {
            let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
            if !pending.is_empty() {
                return pending;
            }
            self.wake.notified().await;
        }
    }
}

impl GiveBack {
    /// Tries until it is given back, or lost anyway. The caller ends it with the session.
    pub(crate) async fn until_done(self, client: RegistryClient) {
        let mut backoff = Backoff::patient();
        while let Err(error) = self.attempt(&client).await {
            if matches!(error.kind(), ErrorKind::LockLost | ErrorKind::SessionEnded | ErrorKind::Closed) {
                return;
            }
            tracing::debug!(%error, "giving a lock back failed, trying again");
            backoff.sleep().await;
        }
    }

    pub(crate) async fn attempt(&self, client: &RegistryClient) -> Result<()> {
        match self {
            Self::Lock(grant) => client.release(grant).await,
            Self::Leadership { grant, record } => resign(client, grant, record).await,
        }
    }
}

/// Removes the record under the lock, then releases the lock. A put of the record that was still on its way when its
/// future was dropped may have come after the first delete; once the lock is released it is refused, so what is there
/// then is looked at once more.
async fn resign(client: &RegistryClient, grant: &LockGrant, record: &Key) -> Result<()> {
    let options = DeleteOptions::when(Precondition::LockHeld(grant.clone()));
    match client.delete_with(&Scope::Key(record.clone()), options).await {
        Ok(_) => {}
        Err(error) if *error.kind() == ErrorKind::LockLost => {}
        Err(error) => return Err(error),
    }
    client.release(grant).await?;
    let Some(left) = client.get(record).await? else { return Ok(()) };
    let mine = left.owner == Some(grant.session) && crate::election::token_of(&left.value) == Some(grant.token);
    if !mine {
        return Ok(());
    }
    let delete = Transaction::builder().check(Check::At(record.clone(), left.modified)).delete(record.clone()).build();
    match delete {
        Ok(delete) => match client.commit(delete).await {
            Err(error) if *error.kind() != ErrorKind::PreconditionFailed => Err(error),
            _ => Ok(()),
        },
        Err(_impossible) => Ok(()),
    }
}
