//! A change as one transaction of the server: what it compares, what it does, and what it reads where it is refused.

use std::collections::{BTreeMap, BTreeSet};

use etcd_client::{Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, Txn, TxnOp};
use registry_api::{Check, ErrorKind, ForeignOwner, Key, Lifetime, Mutation, SessionId, VALUE_LEN_MAX};

use super::conversion::counter_of;
use super::range::{KeyRange, bytes};
use super::{LockRoot, lease_of};
use crate::error::Failure;

/// The most comparisons, and the most operations, of one transaction (`--max-txn-ops` of the server, 128 by default).
pub(super) const TXN_LEN_MAX: usize = 128;
/// Up to this size a transaction has room for a second one inside it, for the case that the first guess is wrong.
const NESTED_LEN_MAX: usize = 60;
/// What no revision and no lease ever is.
const NEVER: i64 = -1;

/// What an ephemeral put finds: etcd compares with *and* only, so one of these has to be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// No key, and nothing below it.
    Absent,
    /// The same, and no neighbour such as `/a-b` between `/a` and `/a/`: one comparison does for both.
    AbsentAndLonely,
    /// An ephemeral key that it may replace. As it is ephemeral, nothing is below it.
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
        let fewest = self.compares(&|_| Guess::AbsentAndLonely).len();
        if fewest > TXN_LEN_MAX { Err(too_long(fewest)) } else { Ok(()) }
    }

    /// What is guessed before anything was read.
    fn first_guess(&self) -> Guess {
        let fits = self.compares(&|_| Guess::Absent).len() <= TXN_LEN_MAX;
        if fits { Guess::Absent } else { Guess::AbsentAndLonely }
    }

    /// The transaction. With room for it, a wrong guess is put right inside, without asking again.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](ErrorKind::LimitExceeded): what it finds takes more comparisons than etcd does at once.
    pub(super) fn txn(&self, guesses: &BTreeMap<Key, Guess>) -> Result<Txn, Failure> {
        let first = self.first_guess();
        let compares = self.compares(&|key| guesses.get(key).copied().unwrap_or(first));
        if compares.len() > TXN_LEN_MAX {
            return Err(too_long(compares.len()));
        }
        let guessed = guesses.is_empty() && self.ephemeral_puts().next().is_some();
        let questions = self.questions();
        let len = compares.len().max(self.mutations.len()).max(questions.len());
        let otherwise = match guessed && len <= NESTED_LEN_MAX {
            true => {
                let inner = Txn::new().when(self.compares(&|_| Guess::Replaceable));
                vec![TxnOp::txn(
                    inner
                        .and_then(self.operations())
                        .or_else(questions.into_iter().map(Question::into_op).collect::<Vec<_>>()),
                )]
            }
            // What does not fit is read afterwards, at the revision of the refusal.
            false => questions.into_iter().take(TXN_LEN_MAX).map(Question::into_op).collect(),
        };
        Ok(Txn::new().when(compares).and_then(self.operations()).or_else(otherwise))
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
                    // Nothing exists in a range where the comparison of every key with "absent" holds.
                    let empty = |range: KeyRange| {
                        Compare::create_revision(range.start, CompareOp::Equal, 0).with_range(range.end)
                    };
                    match (guess(key), foreign_owner) {
                        (Guess::Absent, _) => {
                            compares.push(Compare::create_revision(bytes(key), CompareOp::Equal, 0));
                            compares.extend(self.staying(KeyRange::below(bytes(key))).into_iter().map(empty));
                        }
                        (Guess::AbsentAndLonely, _) => {
                            compares.extend(self.staying(KeyRange::from_to_below(bytes(key))).into_iter().map(empty));
                        }
                        (Guess::Replaceable, ForeignOwner::Refuse) => {
                            let lease = lease_of(*session).unwrap_or(NEVER);
                            compares.push(Compare::lease(bytes(key), CompareOp::Equal, lease));
                        }
                        (Guess::Replaceable, ForeignOwner::TakeOver) => {
                            compares.push(Compare::lease(bytes(key), CompareOp::NotEqual, 0));
                        }
                    }
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

    /// Where keys of a range would stay: without those that are deleted at the same time, and what belongs to locks.
    fn staying(&self, range: KeyRange) -> Vec<KeyRange> {
        let deleted = self.after.iter().filter(|(key, put)| put.is_none() && range.contains(bytes(key)));
        let holes: Vec<_> = deleted.map(|(key, _)| KeyRange::one(bytes(key))).collect();
        let visible = KeyRange::all_without(vec![range], &self.lock_root.hidden());
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
    pub(super) fn questions(&self) -> Vec<Question> {
        let keys = self.questioned().into_iter().map(|key| Question::Key(bytes(&key).to_vec()));
        let places = self.checks.iter().filter_map(|check| match check {
            Check::LockHeld(grant) => Some(Question::Key(self.lock_root.place_of(grant))),
            _ => None,
        });
        let below = self.ephemeral_puts().flat_map(|key| {
            let ranges = [KeyRange::below(bytes(key)), KeyRange::beside(bytes(key))];
            ranges.into_iter().flat_map(|range| self.staying(range)).map(Question::First)
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

/// Something that is read to name a reason.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// This key.
    Key(Vec<u8>),
    /// The first key of a range.
    First(KeyRange),
}

impl Question {
    pub(super) fn into_op(self) -> TxnOp {
        self.at(GetOptions::new())
    }

    /// The same about the past.
    pub(super) fn into_op_at(self, revision: i64) -> TxnOp {
        self.at(GetOptions::new().with_revision(revision))
    }

    fn at(self, options: GetOptions) -> TxnOp {
        let options = options.with_keys_only();
        match self {
            Self::Key(key) => TxnOp::get(key, Some(options)),
            Self::First(range) => TxnOp::get(range.start, Some(options.with_limit(1).with_range(range.end))),
        }
    }
}

fn too_long(len: usize) -> Failure {
    let message = format!(
        "the change needs {len} comparisons; etcd takes {TXN_LEN_MAX} at once: use fewer keys or shorter paths"
    );
    Failure::refused(ErrorKind::LimitExceeded, message)
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
