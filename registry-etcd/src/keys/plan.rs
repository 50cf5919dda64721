//! A change as one transaction of the server: what it compares, what it does, and what it reads where it is refused.

use std::collections::{BTreeMap, BTreeSet};

use etcd_client::{Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, Txn, TxnOp};
use registry_api::{Check, ErrorKind, ForeignOwner, Key, Lifetime, Mutation, SessionId, VALUE_LEN_MAX};

use super::conversion::counter_of;
use super::range::{KeyRange, bytes};
use super::{LockRoot, lease_of};
use crate::error::Failure;

/// The most comparisons, and the most operations, of one transaction (`--max-txn-ops` of the server, 128 by default).
const TXN_LEN_MAX: usize = 128;
/// Up to this size a transaction has room for a second one inside it, for the case that the first guess is wrong.
const NESTED_LEN_MAX: usize = 60;
/// What no revision and no lease ever is.
const NEVER: i64 = -1;

/// What an ephemeral put finds: etcd compares with *and* only, so one of the two has to be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// No key.
    Absent,
    /// An ephemeral key that it may replace.
    Replaceable,
}

/// One change, checked as far as it can be without the server.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) checks: &'a [Check],
    pub(super) mutations: &'a [Mutation],
    pub(super) lock_root: &'a LockRoot,
    /// The session of its ephemeral puts.
    pub(super) session: Option<SessionId>,
    /// Every key that is changed, and whether it is ephemeral then; `None` where it is gone then.
    pub(super) after: BTreeMap<&'a Key, Option<bool>>,
    /// The keys above those that are put, as far as they are not changed themselves.
    pub(super) ancestors: BTreeSet<Key>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        checks: &'a [Check],
        mutations: &'a [Mutation],
        lock_root: &'a LockRoot,
    ) -> Result<Self, Failure> {
        let after: BTreeMap<_, _> = mutations.iter().map(|change| (change.key(), ephemeral(change))).collect();
        let puts = after.iter().filter(|(_, put)| put.is_some()).map(|(key, _)| *key);
        let ancestors = puts.flat_map(Key::ancestors).filter(|key| !after.contains_key(key)).collect();
        let session = mutations.iter().find_map(session_of_put);
        let plan = Self { checks, mutations, lock_root, session, after, ancestors };
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), Failure> {
        for key in self.mutations.iter().map(Mutation::key).chain(self.checks.iter().filter_map(checked_key)) {
            self.lock_root.check(key)?;
        }
        if let Some(session) = self.session.filter(|session| lease_of(*session).is_none()) {
            return Err(Failure::session_ended(session));
        }
        for mutation in self.mutations {
            let Mutation::Put { key, value, .. } = mutation else { continue };
            if value.len() > VALUE_LEN_MAX {
                let message = format!("the value has {} bytes; at most {VALUE_LEN_MAX} are allowed", value.len());
                return Err(Failure::invalid(message).at(key));
            }
            let put_above = key.ancestors().find(|above| self.after.get(above) == Some(&Some(true)));
            if put_above.is_some() {
                return Err(ephemeral_above(key));
            }
        }
        let len = self.compares(&|_| Guess::Replaceable).len().max(self.questions().len());
        if len > TXN_LEN_MAX {
            let message = format!(
                "the change needs {len} comparisons; etcd takes {TXN_LEN_MAX} at once: use fewer keys or shorter paths"
            );
            return Err(Failure::refused(ErrorKind::LimitExceeded, message));
        }
        Ok(())
    }

    /// The transaction. With room for it, a wrong guess is put right inside, without asking again.
    pub(super) fn txn(&self, guesses: &BTreeMap<Key, Guess>) -> Txn {
        let guess = |key: &Key| guesses.get(key).copied().unwrap_or(Guess::Absent);
        let compares = self.compares(&guess);
        let guessed = guesses.is_empty() && self.ephemeral_puts().next().is_some();
        let otherwise = match guessed && compares.len().max(self.mutations.len()) <= NESTED_LEN_MAX {
            true => {
                let inner = Txn::new().when(self.compares(&|_| Guess::Replaceable));
                vec![TxnOp::txn(inner.and_then(self.operations()).or_else(self.questions()))]
            }
            false => self.questions(),
        };
        Txn::new().when(compares).and_then(self.operations()).or_else(otherwise)
    }

    fn compares(&self, guess: &dyn Fn(&Key) -> Guess) -> Vec<Compare> {
        let mut compares: Vec<_> = self.checks.iter().map(|check| self.compare(check)).collect();
        for above in &self.ancestors {
            compares.push(Compare::lease(bytes(above), CompareOp::Equal, 0));
        }
        for mutation in self.mutations {
            let Mutation::Put { key, lifetime, foreign_owner, .. } = mutation else { continue };
            match lifetime {
                Lifetime::Persistent => compares.push(Compare::lease(bytes(key), CompareOp::Equal, 0)),
                Lifetime::Ephemeral(session) => {
                    compares.push(match (guess(key), foreign_owner) {
                        (Guess::Absent, _) => Compare::create_revision(bytes(key), CompareOp::Equal, 0),
                        (Guess::Replaceable, ForeignOwner::Refuse) => {
                            Compare::lease(bytes(key), CompareOp::Equal, lease_of(*session).unwrap_or(NEVER))
                        }
                        (Guess::Replaceable, ForeignOwner::TakeOver) => {
                            Compare::lease(bytes(key), CompareOp::NotEqual, 0)
                        }
                    });
                    // Nothing exists in a range where the comparison of every key with "absent" holds.
                    let empty = |range: KeyRange| {
                        Compare::create_revision(range.start, CompareOp::Equal, 0).with_range(range.end)
                    };
                    compares.extend(self.staying_below(key).into_iter().map(empty));
                }
            }
        }
        compares
    }

    fn compare(&self, check: &Check) -> Compare {
        match check {
            Check::Absent(key) => Compare::create_revision(bytes(key), CompareOp::Equal, 0),
            Check::Present(key) => Compare::create_revision(bytes(key), CompareOp::Greater, 0),
            Check::At(key, revision) => {
                Compare::mod_revision(bytes(key), CompareOp::Equal, counter_of(*revision).unwrap_or(NEVER))
            }
            Check::OwnedBy(key, session) => {
                Compare::lease(bytes(key), CompareOp::Equal, lease_of(*session).unwrap_or(NEVER))
            }
            Check::LockHeld(grant) => {
                let token = counter_of(grant.token.revision()).unwrap_or(NEVER);
                Compare::create_revision(self.lock_root.place_of(grant), CompareOp::Equal, token)
            }
            // A check of a later version of the contract: one that never holds.
            _ => Compare::version("/", CompareOp::Equal, NEVER),
        }
    }

    /// Where keys would stay below an ephemeral key: everything below it but what is deleted at the same time, and what
    /// belongs to locks.
    fn staying_below(&self, key: &Key) -> Vec<KeyRange> {
        let deleted = self.after.iter().filter(|(other, put)| put.is_none() && other.is_below(key));
        let holes: Vec<_> = deleted.map(|(other, _)| KeyRange::one(bytes(other))).collect();
        let visible = KeyRange::all_without(vec![KeyRange::below(bytes(key))], &self.lock_root.hidden());
        KeyRange::all_without(visible, &holes)
    }

    fn operations(&self) -> Vec<TxnOp> {
        let operation = |mutation: &Mutation| match mutation {
            Mutation::Put { key, value, lifetime, .. } => {
                let options = match lifetime {
                    Lifetime::Persistent => None,
                    Lifetime::Ephemeral(session) => lease_of(*session).map(|id| PutOptions::new().with_lease(id)),
                };
                TxnOp::put(bytes(key), value.to_vec(), options)
            }
            other => TxnOp::delete(bytes(other.key()), None::<DeleteOptions>),
        };
        self.mutations.iter().map(operation).collect()
    }

    /// What is read where the change is refused, to name the reason.
    fn questions(&self) -> Vec<TxnOp> {
        let one = |key: Vec<u8>| TxnOp::get(key, Some(GetOptions::new().with_keys_only()));
        let keys = self.questioned().into_iter().map(|key| one(bytes(&key).to_vec()));
        let places = self.checks.iter().filter_map(|check| match check {
            Check::LockHeld(grant) => Some(one(self.lock_root.place_of(grant))),
            _ => None,
        });
        let below = self.ephemeral_puts().flat_map(|key| self.staying_below(key)).map(|range| {
            let options = GetOptions::new().with_keys_only().with_limit(1).with_range(range.end);
            TxnOp::get(range.start, Some(options))
        });
        keys.chain(places).chain(below).collect()
    }

    fn questioned(&self) -> BTreeSet<Key> {
        let checked = self.checks.iter().filter_map(checked_key);
        checked.chain(self.after.keys().copied()).cloned().chain(self.ancestors.iter().cloned()).collect()
    }

    pub(super) fn ephemeral_puts(&self) -> impl Iterator<Item = &'a Key> {
        self.after.iter().filter(|(_, put)| **put == Some(true)).map(|(key, _)| *key)
    }
}

pub(super) fn ephemeral_above(key: &Key) -> Failure {
    let message = "a key above it is ephemeral; ephemeral keys have no children";
    Failure::refused(ErrorKind::EphemeralParent, message).at(key)
}

fn checked_key(check: &Check) -> Option<&Key> {
    match check {
        Check::Absent(key) | Check::Present(key) | Check::At(key, _) | Check::OwnedBy(key, _) => Some(key),
        _ => None,
    }
}

fn session_of_put(mutation: &Mutation) -> Option<SessionId> {
    match mutation {
        Mutation::Put { lifetime: Lifetime::Ephemeral(session), .. } => Some(*session),
        _ => None,
    }
}

/// Whether the key is ephemeral after the change; `None` where it does not exist then.
fn ephemeral(mutation: &Mutation) -> Option<bool> {
    match mutation {
        Mutation::Put { .. } => Some(session_of_put(mutation).is_some()),
        _ => None,
    }
}
