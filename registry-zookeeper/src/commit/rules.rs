//! What a transaction requires, judged by what it saw.

use registry_api::{Check, ErrorKind, ForeignOwner, Key, Lifetime, Mutation, SessionId};

use super::owner;
use super::view::{State, View};
use crate::error::Failure;
use crate::node::{self, Kind};
use crate::paths;

/// The checks in their order, then the rules of each mutation.
pub(super) fn judge(view: &View, checks: &[Check], mutations: &[Mutation]) -> Result<(), Failure> {
    for check in checks {
        judge_check(view, check)?;
    }
    for mutation in mutations {
        if let Mutation::Put { key, lifetime, foreign_owner, .. } = mutation {
            judge_put(view, key, *lifetime, *foreign_owner).map_err(|failure| failure.at(key))?;
            judge_parents(view, key, mutations).map_err(|failure| failure.at(key))?;
        }
    }
    Ok(())
}

fn judge_check(view: &View, check: &Check) -> Result<(), Failure> {
    let refuse =
        |key: &Key, message: &str| Err(Failure::refused(ErrorKind::PreconditionFailed, message.to_owned()).at(key));
    match check {
        Check::Absent(key) => match view.state(key) {
            State::Key(_) => refuse(key, "the key exists"),
            State::Missing | State::Parent(_) => Ok(()),
        },
        Check::Present(key) => match view.state(key) {
            State::Key(_) => Ok(()),
            State::Missing | State::Parent(_) => refuse(key, "the key does not exist"),
        },
        Check::At(key, revision) => match view.state(key) {
            State::Key(node) if node::revision(node.stat.mzxid) == *revision => Ok(()),
            State::Key(node) => {
                let now = node::revision(node.stat.mzxid);
                refuse(key, &format!("the key was modified at {now}, not at {revision}"))
            }
            State::Missing | State::Parent(_) => refuse(key, "the key does not exist"),
        },
        Check::OwnedBy(key, session) => match view.state(key) {
            State::Key(node) if node.kind() == Kind::Ephemeral(*session) => Ok(()),
            State::Key(_) => refuse(key, &format!("the key does not belong to the session {session}")),
            State::Missing | State::Parent(_) => refuse(key, "the key does not exist"),
        },
        Check::LockHeld(grant) if view.place(grant).is_some() => Ok(()),
        Check::LockHeld(_) => Err(Failure::lock_lost()),
        other => Err(Failure::refused(ErrorKind::Unsupported, format!("a check of an unknown kind: {other:?}"))),
    }
}

fn judge_put(view: &View, key: &Key, lifetime: Lifetime, foreign_owner: ForeignOwner) -> Result<(), Failure> {
    match (view.state(key), lifetime) {
        (State::Missing, _) | (State::Parent(_), Lifetime::Persistent) => Ok(()),
        (State::Parent(_), Lifetime::Ephemeral(_)) => match view.below(key) {
            Some(_) => Ok(()),
            None => Err(ephemeral_parent("the key has children, so it cannot become ephemeral")),
        },
        (State::Key(node), lifetime) => match (node.kind(), lifetime) {
            (Kind::Ephemeral(owner), Lifetime::Ephemeral(session)) => judge_owner(owner, session, foreign_owner),
            (Kind::Ephemeral(_), Lifetime::Persistent) => Err(mismatch("the key is ephemeral; delete it first")),
            (_, Lifetime::Ephemeral(_)) => Err(mismatch("the key is persistent; delete it first")),
            (_, Lifetime::Persistent) => Ok(()),
        },
    }
}

fn judge_owner(owner: SessionId, session: SessionId, foreign_owner: ForeignOwner) -> Result<(), Failure> {
    if owner == session || foreign_owner == ForeignOwner::TakeOver {
        return Ok(());
    }
    let message = format!("the key belongs to the session {owner}");
    Err(Failure::refused(ErrorKind::OwnedByAnother { owner }, message))
}

/// No ephemeral key above, neither one that exists nor one of the same transaction.
fn judge_parents(view: &View, key: &Key, mutations: &[Mutation]) -> Result<(), Failure> {
    let above = |other: &Mutation| owner(other).is_some() && key.is_below(other.key());
    if let Some(parent) = mutations.iter().find(|other| above(other)) {
        return Err(ephemeral_parent(format!("{} becomes ephemeral and so has no children", parent.key())));
    }
    match view.nearest(&paths::of(key)) {
        Some((path, stat)) if matches!(node::kind(stat), Kind::Ephemeral(_)) => {
            Err(ephemeral_parent(format!("{path} is ephemeral and so has no children")))
        }
        _ => Ok(()),
    }
}

fn ephemeral_parent(message: impl Into<String>) -> Failure {
    Failure::refused(ErrorKind::EphemeralParent, message)
}

fn mismatch(message: &str) -> Failure {
    Failure::refused(ErrorKind::LifetimeMismatch, message)
}
