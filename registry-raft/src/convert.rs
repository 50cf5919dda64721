//! Conversion between the messages of `proto/registry/v1` and the types of `registry-api`.
//!
//! Whatever comes from outside is checked here, once: after the conversion the types carry the proof. Nothing in here
//! panics, whatever the message says.

mod event;
mod options;
mod proposal;
mod refusal;
mod session;
#[cfg(test)]
mod tests;
mod transaction;
mod value;

use registry_api::{KeyError, TransactionError};

pub(crate) use self::event::{cause_of, event_of, reason_of};
pub(crate) use self::options::{PutParts, delete_of, delete_parts, put_of, put_parts};
pub(crate) use self::proposal::check_proposal;
pub(crate) use self::refusal::{BACKEND, error_of};
pub(crate) use self::session::{check_label, ttl_of};
pub(crate) use self::transaction::{commit_of, transaction_of};
use crate::proto;

/// Why a message says nothing that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// Its content is wrong: a key that is no key, a value that is too long, a field that is missing.
    #[error("{0}")]
    Invalid(String),
    /// It holds a variant that this version does not know: it comes from a newer version.
    #[error("{0} that this version does not know")]
    Unknown(&'static str),
}

impl ConvertError {
    /// Invalid, for this reason.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// The refusal of a request that holds this.
    pub(crate) fn into_refusal(self) -> proto::Refusal {
        let failure = match self {
            Self::Invalid(_) => proto::Failure::InvalidArgument,
            Self::Unknown(_) => proto::Failure::Unsupported,
        };
        proto::Refusal { failure: failure.into(), message: self.to_string(), ..proto::Refusal::default() }
    }
}

impl From<KeyError> for ConvertError {
    fn from(error: KeyError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<TransactionError> for ConvertError {
    fn from(error: TransactionError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// A field that the message must have.
pub(crate) fn required<T>(field: Option<T>, name: &str) -> Result<T, ConvertError> {
    field.ok_or_else(|| ConvertError::Invalid(format!("the message has no {name}")))
}
