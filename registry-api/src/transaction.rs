//! Transactions: checks and mutations that happen together or not at all.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::{ForeignOwner, Key, Lifetime, LockGrant, Revision, SessionId, VALUE_LEN_MAX};

/// The most checks and mutations, counted together, in one transaction.
pub const TRANSACTION_LEN_MAX: usize = 64;

/// What a transaction requires, at the revision of its commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Check {
    /// The key does not exist.
    Absent(Key),
    /// The key exists.
    Present(Key),
    /// The key exists and was last modified at this revision.
    At(Key, Revision),
    /// The key exists and belongs to this session.
    OwnedBy(Key, SessionId),
    /// The lock is held under this grant.
    LockHeld(LockGrant),
}

/// What a transaction changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutation {
    /// Puts a key.
    Put {
        /// The key.
        key: Key,
        /// Its value.
        value: Bytes,
        /// How long it lives.
        lifetime: Lifetime,
        /// What to do when another live session owns it.
        foreign_owner: ForeignOwner,
    },
    /// Deletes a key; one that does not exist is no error.
    Delete {
        /// The key.
        key: Key,
    },
}

impl Mutation {
    /// The key that is changed.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// Checks and mutations that are committed at one revision, or not at all.
///
/// A valid transaction has at least one mutation or check and at most [`TRANSACTION_LEN_MAX`] of both; each key is
/// checked at most once and changed at most once; at most one session is named by all lifetimes; its values are at most
/// [`VALUE_LEN_MAX`] bytes together. No put makes a key the parent of an ephemeral key of the same transaction: such
/// transactions are refused when they are committed.
///
/// ```
/// use registry_api::{Key, Transaction};
///
/// let key: Key = "/counter".parse()?;
/// let transaction = Transaction::builder().absent(key.clone()).put(key, "1").build()?;
/// assert_eq!(transaction.mutations().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    checks: Vec<Check>,
    mutations: Vec<Mutation>,
}

/// A committed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The revision of all its changes.
    pub revision: Revision,
}

/// Why a transaction cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// Nothing to do.
    #[error("a transaction needs at least one check or mutation")]
    Empty,
    /// Too many checks and mutations.
    #[error("a transaction has at most {TRANSACTION_LEN_MAX} checks and mutations; this one has {len}")]
    TooLong {
        /// How many it has.
        len: usize,
    },
    /// A key is changed twice.
    #[error("a transaction changes each key at most once; {key} is changed twice")]
    ChangedTwice {
        /// The key.
        key: Key,
    },
    /// A key is checked twice.
    #[error("a transaction checks each key at most once; {key} is checked twice")]
    CheckedTwice {
        /// The key.
        key: Key,
    },
    /// Two sessions are named.
    #[error("the ephemeral keys of a transaction belong to one session; this one names {first} and {second}")]
    TwoSessions {
        /// One of them.
        first: SessionId,
        /// The other.
        second: SessionId,
    },
    /// The values are too long.
    #[error("the values of a transaction have at most {VALUE_LEN_MAX} bytes together; these have {len}")]
    ValuesTooLong {
        /// Their length together.
        len: usize,
    },
}

impl Transaction {
    /// Starts an empty transaction.
    #[must_use]
    pub fn builder() -> TransactionBuilder {
        TransactionBuilder::default()
    }

    /// This transaction, only while the lock is held under `grant`.
    ///
    /// # Errors
    ///
    /// [`TransactionError::TooLong`] where the check does not fit any more.
    pub fn guarded_by(self, grant: LockGrant) -> Result<Self, TransactionError> {
        let check = Check::LockHeld(grant);
        if self.checks.contains(&check) {
            return Ok(self);
        }
        TransactionBuilder { checks: self.checks, mutations: self.mutations }.check(check).build()
    }

    pub(crate) fn into_parts(self) -> (Vec<Check>, Vec<Mutation>) {
        (self.checks, self.mutations)
    }

    /// What it requires.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// What it changes.
    #[must_use]
    pub fn mutations(&self) -> &[Mutation] {
        &self.mutations
    }
}

/// Collects a [`Transaction`].
#[derive(Clone, Debug, Default)]
pub struct TransactionBuilder {
    checks: Vec<Check>,
    mutations: Vec<Mutation>,
}

impl TransactionBuilder {
    /// Adds a check.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Adds a mutation.
    #[must_use]
    pub fn mutate(mut self, mutation: Mutation) -> Self {
        self.mutations.push(mutation);
        self
    }

    /// Requires that the key does not exist.
    #[must_use]
    pub fn absent(self, key: Key) -> Self {
        self.check(Check::Absent(key))
    }

    /// Requires that the key was last modified at this revision.
    #[must_use]
    pub fn at(self, key: Key, revision: Revision) -> Self {
        self.check(Check::At(key, revision))
    }

    /// Requires that the lock is held under this grant.
    #[must_use]
    pub fn lock_held(self, grant: LockGrant) -> Self {
        self.check(Check::LockHeld(grant))
    }

    /// Puts a persistent key.
    #[must_use]
    pub fn put(self, key: Key, value: impl Into<Bytes>) -> Self {
        self.mutate(Mutation::Put {
            key,
            value: value.into(),
            lifetime: Lifetime::Persistent,
            foreign_owner: ForeignOwner::Refuse,
        })
    }

    /// Puts a key that ends with the session.
    #[must_use]
    pub fn put_ephemeral(self, key: Key, value: impl Into<Bytes>, session: SessionId) -> Self {
        self.mutate(Mutation::Put {
            key,
            value: value.into(),
            lifetime: Lifetime::Ephemeral(session),
            foreign_owner: ForeignOwner::Refuse,
        })
    }

    /// Deletes a key.
    #[must_use]
    pub fn delete(self, key: Key) -> Self {
        self.mutate(Mutation::Delete { key })
    }

    /// The transaction.
    ///
    /// # Errors
    ///
    /// [`TransactionError`] names the rule that is broken.
    pub fn build(self) -> Result<Transaction, TransactionError> {
        let len = self.checks.len() + self.mutations.len();
        if len == 0 {
            return Err(TransactionError::Empty);
        }
        if len > TRANSACTION_LEN_MAX {
            return Err(TransactionError::TooLong { len });
        }
        self.refuse_repeated_keys()?;
        self.refuse_two_sessions()?;
        self.refuse_long_values()?;
        Ok(Transaction { checks: self.checks, mutations: self.mutations })
    }

    fn refuse_repeated_keys(&self) -> Result<(), TransactionError> {
        if let Some(key) = first_repeated(self.mutations.iter().map(Mutation::key)) {
            return Err(TransactionError::ChangedTwice { key });
        }
        match first_repeated(self.checks.iter().filter_map(checked_key)) {
            Some(key) => Err(TransactionError::CheckedTwice { key }),
            None => Ok(()),
        }
    }

    fn refuse_two_sessions(&self) -> Result<(), TransactionError> {
        let mut sessions = self.mutations.iter().filter_map(|mutation| match mutation {
            Mutation::Put { lifetime: Lifetime::Ephemeral(session), .. } => Some(*session),
            _ => None,
        });
        let Some(first) = sessions.next() else { return Ok(()) };
        match sessions.find(|session| *session != first) {
            Some(second) => Err(TransactionError::TwoSessions { first, second }),
            None => Ok(()),
        }
    }

    fn refuse_long_values(&self) -> Result<(), TransactionError> {
        let len = self.mutations.iter().map(value_len).sum();
        if len > VALUE_LEN_MAX { Err(TransactionError::ValuesTooLong { len }) } else { Ok(()) }
    }
}

fn first_repeated<'a>(keys: impl Iterator<Item = &'a Key>) -> Option<Key> {
    let mut seen = BTreeSet::new();
    keys.into_iter().find(|key| !seen.insert(*key)).cloned()
}

fn checked_key(check: &Check) -> Option<&Key> {
    match check {
        Check::Absent(key) | Check::Present(key) | Check::At(key, _) | Check::OwnedBy(key, _) => Some(key),
        Check::LockHeld(_) => None,
    }
}

fn value_len(mutation: &Mutation) -> usize {
    match mutation {
        Mutation::Put { value, .. } => value.len(),
        Mutation::Delete { .. } => 0,
    }
}
