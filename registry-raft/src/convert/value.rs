//! Conversion of revisions, entries, grants, scopes, listings and lock states.

use bytes::Bytes;
use registry_api::{
    Child, Entry, FencingToken, Key, Listing, LockGrant, LockName, LockStatus, Lookup, Revision, Scope, SessionId,
    VALUE_LEN_MAX, Waiter,
};

use super::{ConvertError, required};
use crate::proto;

impl From<Revision> for proto::Revision {
    fn from(revision: Revision) -> Self {
        Self { incarnation: revision.incarnation, counter: revision.counter }
    }
}

impl From<proto::Revision> for Revision {
    fn from(revision: proto::Revision) -> Self {
        Self::new(revision.incarnation, revision.counter)
    }
}

/// 0 stands for no session.
pub(crate) fn owner_of(number: u64) -> Option<SessionId> {
    (number != 0).then(|| SessionId::new(number))
}

/// The number of a session on the wire. There, 0 stands for none; the session 0 never was, like the last number.
pub(crate) fn wire_session(session: SessionId) -> u64 {
    if session.get() == 0 { u64::MAX } else { session.get() }
}

/// A session that must be named.
pub(crate) fn session_of(number: u64) -> Result<SessionId, ConvertError> {
    owner_of(number).ok_or_else(|| ConvertError::invalid("the message names no session"))
}

/// A value, checked against the limit.
pub(crate) fn value_of(value: Bytes) -> Result<Bytes, ConvertError> {
    if value.len() > VALUE_LEN_MAX {
        let len = value.len();
        return Err(ConvertError::Invalid(format!("a value has at most {VALUE_LEN_MAX} bytes; this one has {len}")));
    }
    Ok(value)
}

impl From<&Entry> for proto::Entry {
    fn from(entry: &Entry) -> Self {
        Self {
            key: entry.key.as_str().to_owned(),
            value: entry.value.clone(),
            created: Some(entry.created.into()),
            modified: Some(entry.modified.into()),
            owner: entry.owner.map_or(0, SessionId::get),
        }
    }
}

impl TryFrom<proto::Entry> for Entry {
    type Error = ConvertError;

    fn try_from(entry: proto::Entry) -> Result<Self, ConvertError> {
        Ok(Self {
            key: Key::parse(&entry.key)?,
            value: value_of(entry.value)?,
            created: required(entry.created, "revision of creation")?.into(),
            modified: required(entry.modified, "revision of modification")?.into(),
            owner: owner_of(entry.owner),
        })
    }
}

impl From<&LockGrant> for proto::LockGrant {
    fn from(grant: &LockGrant) -> Self {
        Self {
            name: grant.name.as_str().to_owned(),
            session: wire_session(grant.session),
            token: Some(grant.token.revision().into()),
        }
    }
}

impl TryFrom<proto::LockGrant> for LockGrant {
    type Error = ConvertError;

    fn try_from(grant: proto::LockGrant) -> Result<Self, ConvertError> {
        Ok(Self {
            name: LockName::parse(&grant.name)?,
            session: session_of(grant.session)?,
            token: FencingToken::new(required(grant.token, "fencing token")?.into()),
        })
    }
}

impl From<&Scope> for proto::Scope {
    fn from(scope: &Scope) -> Self {
        use proto::scope::Scope as Wire;
        Self {
            scope: Some(match scope {
                Scope::Key(key) => Wire::Key(key.as_str().to_owned()),
                Scope::Children(key) => Wire::Children(key.as_str().to_owned()),
                Scope::Tree(key) => Wire::Tree(key.as_str().to_owned()),
                Scope::All => Wire::All(true),
            }),
        }
    }
}

impl TryFrom<proto::Scope> for Scope {
    type Error = ConvertError;

    fn try_from(scope: proto::Scope) -> Result<Self, ConvertError> {
        use proto::scope::Scope as Wire;
        Ok(match scope.scope.ok_or(ConvertError::Unknown("a scope"))? {
            Wire::Key(key) => Self::Key(Key::parse(&key)?),
            Wire::Children(key) => Self::Children(Key::parse(&key)?),
            Wire::Tree(key) => Self::Tree(Key::parse(&key)?),
            Wire::All(_) => Self::All,
        })
    }
}

impl From<&Lookup> for proto::GetAnswer {
    fn from(lookup: &Lookup) -> Self {
        Self { entry: lookup.entry.as_ref().map(Into::into), revision: Some(lookup.revision.into()) }
    }
}

impl TryFrom<proto::GetAnswer> for Lookup {
    type Error = ConvertError;

    fn try_from(answer: proto::GetAnswer) -> Result<Self, ConvertError> {
        Ok(Self {
            entry: answer.entry.map(Entry::try_from).transpose()?,
            revision: required(answer.revision, "revision")?.into(),
        })
    }
}

impl From<&Child> for proto::ListedChild {
    fn from(child: &Child) -> Self {
        Self { key: child.key.as_str().to_owned(), entry: child.entry.as_ref().map(Into::into) }
    }
}

impl TryFrom<proto::ListedChild> for Child {
    type Error = ConvertError;

    fn try_from(child: proto::ListedChild) -> Result<Self, ConvertError> {
        let key = Key::parse(&child.key)?;
        let entry = child.entry.map(Entry::try_from).transpose()?;
        Ok(Self { key, entry })
    }
}

impl From<&Listing> for proto::ListPart {
    fn from(listing: &Listing) -> Self {
        Self {
            revision: Some(listing.revision.into()),
            children: listing.children.iter().map(Into::into).collect(),
            next: listing.next.as_ref().map(|key| key.as_str().to_owned()).unwrap_or_default(),
            last: true,
        }
    }
}

impl TryFrom<proto::ListPart> for Listing {
    type Error = ConvertError;

    fn try_from(part: proto::ListPart) -> Result<Self, ConvertError> {
        Ok(Self {
            revision: required(part.revision, "revision")?.into(),
            children: part.children.into_iter().map(Child::try_from).collect::<Result<_, _>>()?,
            next: if part.next.is_empty() { None } else { Some(Key::parse(&part.next)?) },
        })
    }
}

impl From<&LockStatus> for proto::LockState {
    fn from(status: &LockStatus) -> Self {
        Self {
            revision: Some(status.revision.into()),
            holder: status.holder.as_ref().map(Into::into),
            waiting_sessions: status.waiters.iter().map(|waiter| waiter.session.get()).collect(),
        }
    }
}

impl TryFrom<proto::LockState> for LockStatus {
    type Error = ConvertError;

    fn try_from(state: proto::LockState) -> Result<Self, ConvertError> {
        let waiter = |number| Ok(Waiter { session: session_of(number)?, waiting_for: None });
        Ok(Self {
            revision: required(state.revision, "revision")?.into(),
            holder: state.holder.map(LockGrant::try_from).transpose()?,
            held_for: None,
            waiters: state.waiting_sessions.into_iter().map(waiter).collect::<Result<_, ConvertError>>()?,
        })
    }
}
