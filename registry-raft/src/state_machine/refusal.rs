//! How commands are refused.

use registry_api::{Entry, Key, SessionId};

use super::UnknownCommand;
use crate::convert::ConvertError;
use crate::proto::{Failure, Refusal};

/// Why a command was not carried out.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is refused: an outcome like any other.
    Refused(Refusal),
    /// It cannot be understood: the member must stop.
    Unknown(UnknownCommand),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ConvertError> for Stop {
    fn from(error: ConvertError) -> Self {
        match error {
            ConvertError::Unknown(what) => Self::Unknown(UnknownCommand { what }),
            invalid @ ConvertError::Invalid(_) => Self::Refused(invalid.into_refusal()),
        }
    }
}

/// A refusal with a message for people; it says that nothing was applied.
pub(super) fn refusal(failure: Failure, message: impl Into<String>) -> Refusal {
    Refusal { failure: failure.into(), message: message.into(), ..Refusal::default() }
}

pub(super) fn at(key: &Key, failure: Failure, message: impl Into<String>) -> Refusal {
    Refusal { key: key.as_str().to_owned(), ..refusal(failure, message) }
}

pub(super) fn session_ended(session: SessionId) -> Refusal {
    refusal(Failure::SessionEnded, format!("the session {session} has ended, or never was"))
}

pub(super) fn limit(what: &str, most: impl std::fmt::Display) -> Refusal {
    refusal(Failure::LimitExceeded, format!("at most {most} {what} are allowed"))
}

pub(super) fn owned_by_another(entry: &Entry, owner: SessionId) -> Refusal {
    let message = format!("the key belongs to the session {owner}; take it over explicitly if that is meant");
    Refusal { owner: owner.get(), ..at(&entry.key, Failure::OwnedByAnother, message) }
}

pub(super) fn precondition_failed(key: &Key, message: impl Into<String>) -> Refusal {
    at(key, Failure::PreconditionFailed, message)
}
