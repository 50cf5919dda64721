//! Saboteurs of keys, preconditions, transactions and errors.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use registry_api::{
    Check, Committed, DeleteOptions, Deleted, Effect, Error, ErrorKind, ForeignOwner, Key, Lifetime, ListOptions,
    Listing, Lookup, Mutation, Operation, Precondition, PutOptions, ReadLevel, Registry, Result, Revision, Scope,
    Transaction, TransactionBuilder, VALUE_LEN_MAX,
};

use super::Saboteur;

/// What begins with the text of the root of a tree, segment or not.
async fn by_text(inner: &Arc<dyn Registry>, root: &Key) -> Result<Listing> {
    let mut listing = inner.list(&root.parent().map_or(Scope::All, Scope::Tree), ListOptions::default()).await?;
    listing.children.retain(|child| child.key.as_str().starts_with(root.as_str()));
    Ok(listing)
}

/// Deletes `/10` with `/1`.
#[derive(Debug)]
pub(super) struct DeletesByText;

#[async_trait]
impl Saboteur for DeletesByText {
    async fn delete(&self, inner: &Arc<dyn Registry>, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        if let Scope::Tree(root) = target {
            for child in by_text(inner, root).await?.children {
                if !target.contains(&child.key) {
                    inner.delete(&Scope::Key(child.key), DeleteOptions::default()).await?;
                }
            }
        }
        inner.delete(target, options).await
    }
}

/// Lists `/10` with `/1`.
#[derive(Debug)]
pub(super) struct ListsByText;

#[async_trait]
impl Saboteur for ListsByText {
    async fn list(&self, inner: &Arc<dyn Registry>, scope: &Scope, options: ListOptions) -> Result<Listing> {
        match scope {
            Scope::Tree(root) if options == ListOptions::default() => by_text(inner, root).await,
            _ => inner.list(scope, options).await,
        }
    }
}

/// Lists in no order.
#[derive(Debug)]
pub(super) struct ListsBackwards;

#[async_trait]
impl Saboteur for ListsBackwards {
    async fn list(&self, inner: &Arc<dyn Registry>, scope: &Scope, options: ListOptions) -> Result<Listing> {
        let mut listing = inner.list(scope, options).await?;
        listing.children.reverse();
        Ok(listing)
    }
}

/// Answers with what the read before was answered with.
#[derive(Debug)]
pub(super) struct AnswersLate {
    level: ReadLevel,
    before: Mutex<BTreeMap<Key, Lookup>>,
}

impl AnswersLate {
    pub(super) fn at(level: ReadLevel) -> Self {
        Self { level, before: Mutex::default() }
    }
}

#[async_trait]
impl Saboteur for AnswersLate {
    async fn get(&self, inner: &Arc<dyn Registry>, key: &Key, read: ReadLevel) -> Result<Lookup> {
        let now = inner.get(key, read).await?;
        if read != self.level {
            return Ok(now);
        }
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(before.insert(key.clone(), now.clone()).unwrap_or(now))
    }
}

/// Commits one mutation after the other.
#[derive(Debug)]
pub(super) struct CommitsPiecemeal;

#[async_trait]
impl Saboteur for CommitsPiecemeal {
    async fn commit(&self, inner: &Arc<dyn Registry>, transaction: Transaction) -> Result<Committed> {
        let mut committed = None;
        for mutation in transaction.mutations() {
            let Ok(piece) = Transaction::builder().mutate(mutation.clone()).build() else { continue };
            committed = Some(inner.commit(piece).await?);
            tokio::task::yield_now().await;
        }
        match committed {
            Some(committed) => Ok(committed),
            None => inner.commit(transaction).await,
        }
    }
}

fn rebuilt(transaction: &Transaction, keep: impl Fn(&Check) -> bool) -> TransactionBuilder {
    let mut builder = Transaction::builder();
    for check in transaction.checks().iter().filter(|check| keep(check)) {
        builder = builder.check(check.clone());
    }
    transaction.mutations().iter().cloned().fold(builder, TransactionBuilder::mutate)
}

/// Commits whatever the checks say.
#[derive(Debug)]
pub(super) struct IgnoresChecks;

#[async_trait]
impl Saboteur for IgnoresChecks {
    async fn commit(&self, inner: &Arc<dyn Registry>, transaction: Transaction) -> Result<Committed> {
        inner.commit(rebuilt(&transaction, |_| false).build().unwrap_or(transaction)).await
    }
}

/// Writes whether or not the lock is held.
#[derive(Debug)]
pub(super) struct IgnoresGuards;

#[async_trait]
impl Saboteur for IgnoresGuards {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        inner.put(key, value, PutOptions { precondition: unguarded(options.precondition.clone()), ..options }).await
    }

    async fn delete(&self, inner: &Arc<dyn Registry>, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        inner.delete(target, DeleteOptions { precondition: unguarded(options.precondition) }).await
    }

    async fn commit(&self, inner: &Arc<dyn Registry>, transaction: Transaction) -> Result<Committed> {
        let unguarded = rebuilt(&transaction, |check| !matches!(check, Check::LockHeld(_)));
        inner.commit(unguarded.build().unwrap_or(transaction)).await
    }
}

fn unguarded(precondition: Precondition) -> Precondition {
    match precondition {
        Precondition::LockHeld(_) => Precondition::None,
        other => other,
    }
}

/// Takes a key that was created again for the one that was there before.
#[derive(Debug)]
pub(super) struct ForgivesNewLives;

#[async_trait]
impl Saboteur for ForgivesNewLives {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        let entry = inner.get(key, ReadLevel::Linearizable).await?.entry;
        let precondition = match (&options.precondition, entry) {
            (Precondition::At(asked), Some(entry)) if entry.created > *asked => Precondition::At(entry.modified),
            (other, _) => other.clone(),
        };
        inner.put(key, value, PutOptions { precondition, ..options }).await
    }
}

/// Sets the value at a take-over, and leaves the key to its old owner.
#[derive(Debug)]
pub(super) struct KeepsTheOwner;

#[async_trait]
impl Saboteur for KeepsTheOwner {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        let owner = inner.get(key, ReadLevel::Linearizable).await?.entry.and_then(|entry| entry.owner);
        let options = match (options.foreign_owner, owner) {
            (ForeignOwner::TakeOver, Some(owner)) => PutOptions { lifetime: Lifetime::Ephemeral(owner), ..options },
            _ => options,
        };
        inner.put(key, value, options).await
    }
}

/// Takes whoever puts the same value for the owner.
#[derive(Debug)]
pub(super) struct TakesEqualValuesForOwnership;

#[async_trait]
impl Saboteur for TakesEqualValuesForOwnership {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        match inner.get(key, ReadLevel::Linearizable).await?.entry {
            Some(entry) if entry.owner.is_some() && entry.value == value => Ok(entry.modified),
            _ => inner.put(key, value, options).await,
        }
    }
}

/// Cuts values at the first NUL.
#[derive(Debug)]
pub(super) struct CutsAtNul;

#[async_trait]
impl Saboteur for CutsAtNul {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        inner.put(key, value.slice(..end), options).await
    }
}

/// Takes values of any length, and keeps what fits.
#[derive(Debug)]
pub(super) struct KeepsWhatFits;

#[async_trait]
impl Saboteur for KeepsWhatFits {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        let end = value.len().min(VALUE_LEN_MAX);
        inner.put(key, value.slice(..end), options).await
    }
}

/// Throws absence.
#[derive(Debug)]
pub(super) struct ThrowsAbsence;

#[async_trait]
impl Saboteur for ThrowsAbsence {
    async fn get(&self, inner: &Arc<dyn Registry>, key: &Key, read: ReadLevel) -> Result<Lookup> {
        let lookup = inner.get(key, read).await?;
        if lookup.entry.is_some() {
            return Ok(lookup);
        }
        Err(Error::new(ErrorKind::Unavailable, Effect::NotApplied, Operation::Get, inner.backend(), "no such key"))
    }
}

/// Takes a lost answer for success.
#[derive(Debug)]
pub(super) struct SwallowsDoubt;

#[async_trait]
impl Saboteur for SwallowsDoubt {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        match inner.put(key, value, options).await {
            Err(error) if error.effect() == Effect::Unknown => Ok(Revision::new(1, u64::MAX)),
            result => result,
        }
    }
}

/// Takes doubt for certainty: what may have been applied is said not to have been.
#[derive(Debug)]
pub(super) struct DeniesDoubt;

#[async_trait]
impl Saboteur for DeniesDoubt {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        inner.put(key, value, options).await.map_err(|error| {
            Error::new(error.kind().clone(), Effect::NotApplied, error.operation(), inner.backend(), "it failed")
        })
    }
}

/// Carries out every fifth put, and says that it was not.
#[derive(Debug, Default)]
pub(super) struct DeniesWhatItDid(AtomicUsize);

#[async_trait]
impl Saboteur for DeniesWhatItDid {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        let revision = inner.put(key, value, options).await?;
        if self.0.fetch_add(1, Ordering::Relaxed) % 5 != 4 {
            return Ok(revision);
        }
        Err(Error::new(ErrorKind::Unavailable, Effect::NotApplied, Operation::Put, inner.backend(), "not now"))
    }
}

/// Says of every fifth put that it was done, and does not do it.
#[derive(Debug, Default)]
pub(super) struct SaysWhatItDidNot {
    puts: AtomicUsize,
    last: Mutex<Revision>,
}

#[async_trait]
impl Saboteur for SaysWhatItDidNot {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        if self.puts.fetch_add(1, Ordering::Relaxed) % 5 == 4 {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(Revision::new(last.incarnation, last.counter + 1));
        }
        let revision = inner.put(key, value, options).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = revision;
        Ok(revision)
    }
}

/// Gives every second change the revision of the one before.
#[derive(Debug, Default)]
pub(super) struct ReusesRevisions(Mutex<Option<Revision>>);

#[async_trait]
impl Saboteur for ReusesRevisions {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        let revision = inner.put(key, value, options).await?;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.take() {
            Some(last) => Ok(last),
            None => Ok(*last.insert(revision)),
        }
    }
}

/// Replaces a key by deleting and creating it.
#[derive(Debug)]
pub(super) struct CreatesAgain;

#[async_trait]
impl Saboteur for CreatesAgain {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        if options == PutOptions::default() {
            inner.delete(&Scope::Key(key.clone()), DeleteOptions::default()).await?;
        }
        inner.put(key, value, options).await
    }
}

/// Changes keys between persistent and ephemeral without a word.
#[derive(Debug)]
pub(super) struct ChangesLifetimes;

#[async_trait]
impl Saboteur for ChangesLifetimes {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        match inner.put(key, value.clone(), options.clone()).await {
            Err(error) if *error.kind() == ErrorKind::LifetimeMismatch => {
                inner.delete(&Scope::Key(key.clone()), DeleteOptions::default()).await?;
                inner.put(key, value, options).await
            }
            result => result,
        }
    }
}

/// Deletes one by one what should end at one revision.
#[derive(Debug)]
pub(super) struct DeletesOneByOne;

#[async_trait]
impl Saboteur for DeletesOneByOne {
    async fn delete(&self, inner: &Arc<dyn Registry>, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        let listing = inner.list(target, ListOptions::default()).await?;
        for child in listing.children.iter().skip(1) {
            inner.delete(&Scope::Key(child.key.clone()), options.clone()).await?;
        }
        let rest = inner.delete(target, options).await?;
        Ok(Deleted { count: listing.children.len(), ..rest })
    }
}

/// Shows each mutation of a transaction to whoever lists meanwhile. Mutations are put before their own commit.
#[derive(Debug)]
pub(super) struct ShowsHalf;

#[async_trait]
impl Saboteur for ShowsHalf {
    async fn commit(&self, inner: &Arc<dyn Registry>, transaction: Transaction) -> Result<Committed> {
        if let Some(Mutation::Put { key, value, .. }) = transaction.mutations().last() {
            inner.put(key, value.clone(), PutOptions::default()).await?;
            tokio::task::yield_now().await;
        }
        inner.commit(transaction).await
    }
}
