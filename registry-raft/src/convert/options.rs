//! Conversion of puts, deletes and preconditions.

use bytes::Bytes;
use registry_api::{DeleteOptions, ForeignOwner, Key, Lifetime, LockGrant, Precondition, PutOptions, Scope};

use super::value::{owner_of, session_of, value_of, wire_session};
use super::{ConvertError, required};
use crate::proto;

/// What a put says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PutParts {
    /// The key.
    pub(crate) key: Key,
    /// Its value.
    pub(crate) value: Bytes,
    /// How to put it.
    pub(crate) options: PutOptions,
}

/// The precondition of a put or delete; an absent message is [`Precondition::None`].
pub(crate) fn precondition_of(message: Option<proto::Precondition>) -> Result<Precondition, ConvertError> {
    use proto::precondition::Precondition as Wire;
    let Some(message) = message else { return Ok(Precondition::None) };
    match message.precondition.ok_or(ConvertError::Unknown("a precondition"))? {
        Wire::Absent(_) => Ok(Precondition::Absent),
        Wire::At(revision) => Ok(Precondition::At(revision.into())),
        Wire::OwnedBy(session) => Ok(Precondition::OwnedBy(session_of(session)?)),
        Wire::LockHeld(grant) => Ok(Precondition::LockHeld(LockGrant::try_from(grant)?)),
        Wire::Present(_) => Err(ConvertError::invalid("presence is checked in transactions only")),
    }
}

/// The message of a precondition.
pub(crate) fn precondition_message(precondition: &Precondition) -> Option<proto::Precondition> {
    use proto::precondition::Precondition as Wire;
    let wire = match precondition {
        Precondition::None => return None,
        Precondition::Absent => Wire::Absent(true),
        Precondition::At(revision) => Wire::At((*revision).into()),
        Precondition::OwnedBy(session) => Wire::OwnedBy(wire_session(*session)),
        Precondition::LockHeld(grant) => Wire::LockHeld(grant.into()),
    };
    Some(proto::Precondition { precondition: Some(wire) })
}

/// The message of a put.
pub(crate) fn put_of(key: &Key, value: Bytes, options: &PutOptions) -> proto::Put {
    proto::Put {
        key: key.as_str().to_owned(),
        value,
        session: session_number(options.lifetime),
        precondition: precondition_message(&options.precondition),
        take_over: options.foreign_owner == ForeignOwner::TakeOver,
    }
}

/// What the message of a put says.
pub(crate) fn put_parts(put: &proto::Put) -> Result<PutParts, ConvertError> {
    Ok(PutParts {
        key: Key::parse(&put.key)?,
        value: value_of(put.value.clone())?,
        options: PutOptions {
            lifetime: lifetime_of(put.session),
            precondition: precondition_of(put.precondition.clone())?,
            foreign_owner: foreign_owner_of(put),
        },
    })
}

pub(super) fn lifetime_of(session: u64) -> Lifetime {
    owner_of(session).map_or(Lifetime::Persistent, Lifetime::Ephemeral)
}

pub(super) fn session_number(lifetime: Lifetime) -> u64 {
    match lifetime {
        Lifetime::Persistent => 0,
        Lifetime::Ephemeral(session) => wire_session(session),
    }
}

pub(super) fn foreign_owner_of(put: &proto::Put) -> ForeignOwner {
    if put.take_over { ForeignOwner::TakeOver } else { ForeignOwner::Refuse }
}

/// The message of a delete.
pub(crate) fn delete_of(target: &Scope, options: &DeleteOptions) -> proto::Delete {
    proto::Delete { target: Some(target.into()), precondition: precondition_message(&options.precondition) }
}

/// What the message of a delete says.
///
/// # Errors
///
/// Also a precondition of one key with a scope of many.
pub(crate) fn delete_parts(delete: &proto::Delete) -> Result<(Scope, Precondition), ConvertError> {
    let target = Scope::try_from(required(delete.target.clone(), "target")?)?;
    let precondition = precondition_of(delete.precondition.clone())?;
    match (&target, &precondition) {
        (Scope::Key(_), _) | (_, Precondition::None | Precondition::LockHeld(_)) => Ok((target, precondition)),
        _ => Err(ConvertError::invalid("a delete of many keys can be conditional on a lock only")),
    }
}
