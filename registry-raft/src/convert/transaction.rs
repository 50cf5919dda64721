//! Conversion of transactions.

use registry_api::{Check, Key, LockGrant, Mutation, Transaction};

use super::options::{foreign_owner_of, lifetime_of, session_number};
use super::value::{session_of, wire_session};
use super::{ConvertError, required};
use crate::proto;

/// The message of a transaction.
pub(crate) fn commit_of(transaction: &Transaction) -> Result<proto::Commit, ConvertError> {
    Ok(proto::Commit {
        checks: transaction.checks().iter().map(wire_check).collect::<Result<_, _>>()?,
        mutations: transaction.mutations().iter().map(wire_mutation).collect::<Result<_, _>>()?,
    })
}

/// The transaction that a message says, checked like one that is built here.
pub(crate) fn transaction_of(commit: &proto::Commit) -> Result<Transaction, ConvertError> {
    let mut builder = Transaction::builder();
    for check in &commit.checks {
        builder = builder.check(check_of(check)?);
    }
    for mutation in &commit.mutations {
        builder = builder.mutate(mutation_of(mutation)?);
    }
    Ok(builder.build()?)
}

fn wire_check(check: &Check) -> Result<proto::Check, ConvertError> {
    use proto::precondition::Precondition as Wire;
    let (key, wire) = match check {
        Check::Absent(key) => (key.as_str(), Wire::Absent(true)),
        Check::Present(key) => (key.as_str(), Wire::Present(true)),
        Check::At(key, revision) => (key.as_str(), Wire::At((*revision).into())),
        Check::OwnedBy(key, session) => (key.as_str(), Wire::OwnedBy(wire_session(*session))),
        Check::LockHeld(grant) => ("", Wire::LockHeld(grant.into())),
        _ => return Err(ConvertError::Unknown("a check")),
    };
    let precondition = Some(proto::Precondition { precondition: Some(wire) });
    Ok(proto::Check { key: key.to_owned(), precondition })
}

fn check_of(check: &proto::Check) -> Result<Check, ConvertError> {
    use proto::precondition::Precondition as Wire;
    let precondition = required(check.precondition.clone(), "precondition of a check")?;
    match precondition.precondition.ok_or(ConvertError::Unknown("a check"))? {
        Wire::Absent(_) => Ok(Check::Absent(Key::parse(&check.key)?)),
        Wire::Present(_) => Ok(Check::Present(Key::parse(&check.key)?)),
        Wire::At(revision) => Ok(Check::At(Key::parse(&check.key)?, revision.into())),
        Wire::OwnedBy(session) => Ok(Check::OwnedBy(Key::parse(&check.key)?, session_of(session)?)),
        Wire::LockHeld(_) if !check.key.is_empty() => Err(ConvertError::invalid("the check of a lock names no key")),
        Wire::LockHeld(grant) => Ok(Check::LockHeld(LockGrant::try_from(grant)?)),
    }
}

fn wire_mutation(mutation: &Mutation) -> Result<proto::Mutation, ConvertError> {
    use proto::mutation::Mutation as Wire;
    let wire = match mutation {
        Mutation::Put { key, value, lifetime, foreign_owner } => Wire::Put(proto::Put {
            key: key.as_str().to_owned(),
            value: value.clone(),
            session: session_number(*lifetime),
            precondition: None,
            take_over: *foreign_owner == registry_api::ForeignOwner::TakeOver,
        }),
        Mutation::Delete { key } => Wire::Delete(key.as_str().to_owned()),
        _ => return Err(ConvertError::Unknown("a mutation")),
    };
    Ok(proto::Mutation { mutation: Some(wire) })
}

fn mutation_of(mutation: &proto::Mutation) -> Result<Mutation, ConvertError> {
    use proto::mutation::Mutation as Wire;
    match mutation.mutation.as_ref().ok_or(ConvertError::Unknown("a mutation"))? {
        Wire::Put(put) if put.precondition.is_some() => {
            Err(ConvertError::invalid("what a transaction requires is said by its checks, not by its puts"))
        }
        Wire::Put(put) => Ok(Mutation::Put {
            key: Key::parse(&put.key)?,
            value: put.value.clone(),
            lifetime: lifetime_of(put.session),
            foreign_owner: foreign_owner_of(put),
        }),
        Wire::Delete(key) => Ok(Mutation::Delete { key: Key::parse(key)? }),
    }
}
