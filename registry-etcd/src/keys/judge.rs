//! Why a change was refused, by what the server read when it refused it.

use std::collections::BTreeMap;

use etcd_client::{TxnOpResponse, TxnResponse};
use registry_api::{Check, ErrorKind, ForeignOwner, Key, Lifetime, Mutation};

use super::conversion::counter_of;
use super::plan::{Guess, Plan, ephemeral_above};
use super::range::{KeyRange, bytes};
use super::{lease_of, session_of};
use crate::error::Failure;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    created: i64,
    modified: i64,
    lease: i64,
}

/// Everything that was read, at one revision.
#[derive(Debug, Default)]
pub(super) struct Evidence(BTreeMap<Vec<u8>, Seen>);

impl Evidence {
    /// What the answer of a refused transaction holds.
    pub(super) fn of(answer: &TxnResponse) -> Self {
        let mut found = BTreeMap::new();
        collect(answer, &mut found);
        Self(found)
    }

    /// With what was read besides.
    pub(super) fn and(mut self, answer: &TxnResponse) -> Self {
        collect(answer, &mut self.0);
        self
    }

    fn has_any(&self, range: &KeyRange) -> bool {
        self.0.range(range.start.clone()..).next().is_some_and(|(key, _)| range.contains(key))
    }

    fn of_key(&self, key: &Key) -> Option<&Seen> {
        self.0.get(key.as_str().as_bytes())
    }
}

fn collect(answer: &TxnResponse, found: &mut BTreeMap<Vec<u8>, Seen>) {
    for response in answer.op_responses() {
        match response {
            TxnOpResponse::Get(read) => {
                for entry in read.kvs() {
                    let (created, modified) = (entry.create_revision(), entry.mod_revision());
                    found.insert(entry.key().to_vec(), Seen { created, modified, lease: entry.lease() });
                }
            }
            TxnOpResponse::Txn(inner) => collect(&inner, found),
            TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) => {}
        }
    }
}

impl Plan<'_> {
    /// The first rule that the change breaks, in the order of the contract: its checks, then the rules of each change.
    ///
    /// # Errors
    ///
    /// That rule. Where none is broken, the guess was wrong.
    pub(super) fn judge(&self, evidence: &Evidence) -> Result<(), Failure> {
        for check in self.checks {
            self.judge_check(check, evidence)?;
        }
        for mutation in self.mutations {
            judge_lifetime(mutation, evidence)?;
        }
        for mutation in self.mutations {
            self.judge_family(mutation, evidence)?;
        }
        Ok(())
    }

    /// What each ephemeral put finds, by the evidence.
    pub(super) fn guesses(&self, evidence: &Evidence) -> BTreeMap<Key, Guess> {
        let guess = |key: &Key| match evidence.of_key(key) {
            Some(_) => Guess::Replaceable,
            None if evidence.has_any(&KeyRange::beside(bytes(key))) => Guess::Absent,
            None => Guess::AbsentAndLonely,
        };
        self.ephemeral_puts().map(|key| (key.clone(), guess(key))).collect()
    }

    fn judge_check(&self, check: &Check, evidence: &Evidence) -> Result<(), Failure> {
        let (key, holds, message) = match check {
            Check::Absent(key) => {
                (key, evidence.of_key(key).is_none(), "the key exists; it was to be absent".to_owned())
            }
            Check::Present(key) => (key, evidence.of_key(key).is_some(), "the key does not exist".to_owned()),
            Check::At(key, revision) => {
                let wanted = counter_of(*revision);
                let holds = evidence.of_key(key).is_some_and(|seen| Some(seen.modified) == wanted);
                (key, holds, format!("the key was not last modified at {revision}"))
            }
            Check::OwnedBy(key, session) => {
                let wanted = lease_of(*session);
                let holds = evidence.of_key(key).is_some_and(|seen| Some(seen.lease) == wanted);
                (key, holds, format!("the key does not belong to the session {session}"))
            }
            Check::LockHeld(grant) => {
                let place = evidence.0.get(&self.lock_root.place_of(grant));
                let held = place.is_some_and(|seen| Some(seen.created) == counter_of(grant.token.revision()));
                return if held { Ok(()) } else { Err(Failure::lock_lost()) };
            }
            _ => return Err(Failure::refused(ErrorKind::Unsupported, "this backend does not know this check")),
        };
        if holds { Ok(()) } else { Err(Failure::refused(ErrorKind::PreconditionFailed, message).at(key)) }
    }

    /// Ephemeral keys have no children, in the state that the change leads to.
    fn judge_family(&self, mutation: &Mutation, evidence: &Evidence) -> Result<(), Failure> {
        let Mutation::Put { key, lifetime, .. } = mutation else { return Ok(()) };
        let is_ephemeral = |above: &Key| evidence.of_key(above).is_some_and(|seen| seen.lease != 0);
        if key.ancestors().any(|above| !self.after.contains_key(&above) && is_ephemeral(&above)) {
            return Err(ephemeral_above(key));
        }
        let stays = |other: &Vec<u8>| {
            let below = other.strip_prefix(key.as_str().as_bytes()).is_some_and(|rest| rest.starts_with(b"/"));
            let deleted = || self.after.iter().any(|(gone, put)| put.is_none() && gone.as_str().as_bytes() == other);
            below && !self.lock_root.hides(other) && !deleted()
        };
        if *lifetime != Lifetime::Persistent && evidence.0.keys().any(stays) {
            let message = "it has children; a key with children cannot become ephemeral";
            return Err(Failure::refused(ErrorKind::EphemeralParent, message).at(key));
        }
        Ok(())
    }
}

fn judge_lifetime(mutation: &Mutation, evidence: &Evidence) -> Result<(), Failure> {
    let Mutation::Put { key, lifetime, foreign_owner, .. } = mutation else { return Ok(()) };
    let Some(before) = evidence.of_key(key) else { return Ok(()) };
    let mismatch = |message| Err(Failure::refused(ErrorKind::LifetimeMismatch, message).at(key));
    match (before.lease, lifetime) {
        (0, Lifetime::Persistent) => Ok(()),
        (0, Lifetime::Ephemeral(_)) => mismatch("the key is persistent; a put cannot make it ephemeral"),
        (_, Lifetime::Persistent) => mismatch("the key is ephemeral; a put cannot make it persistent"),
        (lease, Lifetime::Ephemeral(session)) => {
            if lease_of(*session) == Some(lease) || *foreign_owner == ForeignOwner::TakeOver {
                return Ok(());
            }
            let owner = session_of(lease);
            let message = format!("the key belongs to the live session {owner}");
            Err(Failure::refused(ErrorKind::OwnedByAnother { owner }, message).at(key))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::LockRoot;

    fn evidence(entries: &[(&str, i64, i64)]) -> Evidence {
        let seen = |(text, modified, lease): &(&str, i64, i64)| {
            (text.as_bytes().to_vec(), Seen { created: 1, modified: *modified, lease: *lease })
        };
        Evidence(entries.iter().map(seen).collect())
    }

    fn put(text: &str, lifetime: Lifetime, foreign_owner: ForeignOwner) -> Mutation {
        Mutation::Put { key: text.parse().unwrap(), value: bytes::Bytes::new(), lifetime, foreign_owner }
    }

    fn verdict(checks: &[Check], mutations: &[Mutation], found: &Evidence) -> Option<ErrorKind> {
        let root = LockRoot::new("/locks".parse().unwrap());
        let plan = Plan::new(checks, mutations, &root).unwrap();
        plan.judge(found).err().map(|failure| failure.kind)
    }

    #[test]
    fn lifetimes_never_change_silently() {
        let mine = session_of(7);
        let (refuse, take) = (ForeignOwner::Refuse, ForeignOwner::TakeOver);
        let of = |lifetime, owner, lease| verdict(&[], &[put("/a", lifetime, owner)], &evidence(&[("/a", 5, lease)]));
        assert_eq!(of(Lifetime::Persistent, refuse, 0), None);
        assert_eq!(of(Lifetime::Persistent, refuse, 7), Some(ErrorKind::LifetimeMismatch));
        assert_eq!(of(Lifetime::Ephemeral(mine), take, 0), Some(ErrorKind::LifetimeMismatch));
        assert_eq!(of(Lifetime::Ephemeral(mine), refuse, 7), None);
        assert_eq!(of(Lifetime::Ephemeral(mine), take, 8), None);
        let other = ErrorKind::OwnedByAnother { owner: session_of(8) };
        assert_eq!(of(Lifetime::Ephemeral(mine), refuse, 8), Some(other));
    }

    #[test]
    fn ephemeral_keys_have_no_children() {
        let persistent = put("/a/b/c", Lifetime::Persistent, ForeignOwner::Refuse);
        let found = evidence(&[("/a/b", 1, 9)]);
        assert_eq!(verdict(&[], std::slice::from_ref(&persistent), &found), Some(ErrorKind::EphemeralParent));
        let gone = Mutation::Delete { key: "/a/b".parse().unwrap() };
        assert_eq!(verdict(&[], &[persistent, gone], &found), None);
        let leaf = put("/a", Lifetime::Ephemeral(session_of(7)), ForeignOwner::Refuse);
        assert_eq!(
            verdict(&[], std::slice::from_ref(&leaf), &evidence(&[("/a/x", 1, 0)])),
            Some(ErrorKind::EphemeralParent)
        );
        let deleted = Mutation::Delete { key: "/a/x".parse().unwrap() };
        assert_eq!(verdict(&[], &[leaf, deleted], &evidence(&[("/a/x", 1, 0)])), None);
    }

    #[test]
    fn checks_come_before_the_rules() {
        let check = Check::Absent("/x".parse().unwrap());
        let mutation = put("/a", Lifetime::Persistent, ForeignOwner::Refuse);
        let found = evidence(&[("/x", 1, 0), ("/a", 1, 9)]);
        assert_eq!(verdict(&[check], &[mutation], &found), Some(ErrorKind::PreconditionFailed));
    }
}
