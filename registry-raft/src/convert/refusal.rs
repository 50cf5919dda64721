//! Conversion of refusals to errors and back: the one place that says what each means for the caller.

use registry_api::{Effect, Error, ErrorKind, Key, Operation, SessionId};

use crate::proto;
use crate::proto::Failure;

/// The name of this backend in errors and in the configuration.
pub(crate) const BACKEND: &str = "raft";

/// The error that a refusal of this operation means to the caller.
///
/// [`Failure::ClientEnded`] says that whether an *earlier* sending was applied is unknown. A caller that knows that there
/// was none may send the command again under a new identity instead of making an error of it.
pub(crate) fn error_of(refusal: &proto::Refusal, operation: Operation) -> Error {
    let effect = if refusal.effect_unknown { Effect::Unknown } else { Effect::NotApplied };
    let error = Error::new(kind_of(refusal), effect, operation, BACKEND, refusal.message.as_str());
    match Key::parse(&refusal.key) {
        Ok(key) => error.with_key(key),
        Err(_) => error,
    }
}

fn kind_of(refusal: &proto::Refusal) -> ErrorKind {
    // A failure that this version does not know comes from a newer member.
    let Ok(failure) = Failure::try_from(refusal.failure) else { return ErrorKind::Internal };
    match failure {
        Failure::InvalidArgument => ErrorKind::InvalidArgument,
        Failure::PreconditionFailed => ErrorKind::PreconditionFailed,
        Failure::OwnedByAnother => ErrorKind::OwnedByAnother { owner: SessionId::new(refusal.owner) },
        Failure::LifetimeMismatch => ErrorKind::LifetimeMismatch,
        Failure::EphemeralParent => ErrorKind::EphemeralParent,
        Failure::SessionEnded => ErrorKind::SessionEnded,
        Failure::LockLost => ErrorKind::LockLost,
        Failure::LockTimeout => ErrorKind::LockTimeout,
        Failure::Unavailable | Failure::NotLeader | Failure::ClientEnded => ErrorKind::Unavailable,
        Failure::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        Failure::Closed => ErrorKind::Closed,
        Failure::LimitExceeded => ErrorKind::LimitExceeded,
        Failure::PermissionDenied => ErrorKind::PermissionDenied,
        Failure::Unsupported => ErrorKind::Unsupported,
        Failure::Internal | Failure::Unspecified => ErrorKind::Internal,
    }
}
