//! What the errors of etcd and of its client library mean, and whether a write may have been applied.

#[cfg(test)]
mod tests;
mod texts;

use std::error::Error as StdError;

use registry_api::{Effect, Error, ErrorKind, Key, Operation, SessionId};
use tonic::{Code, ConnectError, Status};

use self::texts::meaning_of;

/// The name of this backend.
pub(crate) const BACKEND: &str = "etcd";

/// What programs here decide by, beyond the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The lease has ended or never was.
    LeaseNotFound,
    /// The revision is older than the history that is kept.
    Compacted,
    /// The answering member has not reached the revision yet.
    NotYet,
    /// The answer is longer than this client reads.
    AnswerTooLong,
    /// The member answered that the caller may not do this: it serves.
    Denied,
    /// Another member, or the same one later, may answer.
    Elsewhere,
    /// Nothing that another attempt would change.
    Final,
}

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) effect: Effect,
    pub(crate) reason: Reason,
    key: Option<Key>,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// A refusal: nothing was applied.
    pub(crate) fn refused(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (effect, reason) = (Effect::NotApplied, Reason::Final);
        Self { kind, effect, reason, key: None, message: message.into(), source: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::refused(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn session_ended(session: SessionId) -> Self {
        Self::refused(ErrorKind::SessionEnded, format!("the session {session} has ended, or never was"))
    }

    pub(crate) fn lock_lost() -> Self {
        Self::refused(ErrorKind::LockLost, "the lock is not held under this grant")
    }

    pub(crate) fn lock_timeout() -> Self {
        Self::refused(ErrorKind::LockTimeout, "the lock was not free in time")
    }

    pub(crate) fn closed() -> Self {
        Self::refused(ErrorKind::Closed, "the registry was closed")
    }

    pub(crate) fn no_member_serves() -> Self {
        let none = Self::refused(ErrorKind::Unavailable, "no member of the cluster serves now");
        Self { reason: Reason::Elsewhere, ..none }
    }

    /// The deadline passed while an answer was waited for.
    pub(crate) fn unanswered() -> Self {
        let refused = Self::refused(ErrorKind::DeadlineExceeded, "no answer in time");
        Self { effect: Effect::Unknown, reason: Reason::Elsewhere, ..refused }
    }

    /// The connection was given up while an answer was waited for.
    pub(crate) fn interrupted() -> Self {
        let refused = Self::refused(ErrorKind::Unavailable, "the connection was lost before the answer");
        Self { effect: Effect::Unknown, reason: Reason::Elsewhere, ..refused }
    }

    /// What the server answered cannot be.
    pub(crate) fn nonsense(message: impl Into<String>) -> Self {
        let refused = Self::refused(ErrorKind::Internal, message);
        Self { effect: Effect::Unknown, ..refused }
    }

    pub(crate) fn at(mut self, key: &Key) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// The same, with what was found out about it.
    pub(crate) fn because(mut self, why: impl std::fmt::Display) -> Self {
        self.message = format!("{}: {why}", self.message);
        self
    }

    pub(crate) fn with_effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    pub(crate) fn into_error(self, operation: Operation) -> Error {
        let mut error = Error::new(self.kind, self.effect, operation, BACKEND, self.message);
        if let Some(key) = self.key {
            error = error.with_key(key);
        }
        match self.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }

    fn meaning(meaning: Meaning, message: String) -> Self {
        let Meaning { kind, effect, reason } = meaning;
        Self { kind, effect, reason, key: None, message, source: None }
    }
}

/// What an answer says of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    kind: ErrorKind,
    effect: Effect,
    reason: Reason,
}

impl Meaning {
    const fn refused(kind: ErrorKind, reason: Reason) -> Self {
        Self { kind, effect: Effect::NotApplied, reason }
    }

    /// Nobody knows what became of it.
    const LOST: Self = Self { kind: ErrorKind::Unavailable, effect: Effect::Unknown, reason: Reason::Elsewhere };
}

impl From<etcd_client::Error> for Failure {
    fn from(error: etcd_client::Error) -> Self {
        let message = told(&error);
        let meaning = match &error {
            etcd_client::Error::GRpcStatus(status) => of_status(status),
            etcd_client::Error::TransportError(error) if was_never_sent(error) => {
                Meaning::refused(ErrorKind::Unavailable, Reason::Elsewhere)
            }
            // The library refuses a keep-alive of an ended lease in these words only.
            etcd_client::Error::LeaseKeepAliveError(text) if text == "lease not found" => {
                Meaning::refused(ErrorKind::SessionEnded, Reason::LeaseNotFound)
            }
            etcd_client::Error::TransportError(_)
            | etcd_client::Error::IoError(_)
            | etcd_client::Error::WatchError(_)
            | etcd_client::Error::LeaseKeepAliveError(_)
            | etcd_client::Error::EndpointError(_) => Meaning::LOST,
            etcd_client::Error::InvalidArgs(_)
            | etcd_client::Error::InvalidUri(_)
            | etcd_client::Error::InvalidMetadataValue(_) => Meaning::refused(ErrorKind::Configuration, Reason::Final),
            _ => Meaning { kind: ErrorKind::Internal, effect: Effect::Unknown, reason: Reason::Final },
        };
        Self { source: Some(Box::new(error)), ..Self::meaning(meaning, message) }
    }
}

/// One line for people: the server's own words where it said something.
fn told(error: &etcd_client::Error) -> String {
    match error {
        etcd_client::Error::GRpcStatus(status) if !status.message().is_empty() => status.message().to_owned(),
        // Of the errors below each other the last one says what happened.
        etcd_client::Error::TransportError(error) => last_cause(error).to_string(),
        other => other.to_string(),
    }
}

fn last_cause<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut last = error;
    while let Some(below) = last.source() {
        last = below;
    }
    last
}

fn of_status(status: &Status) -> Meaning {
    if was_never_sent(status) {
        return Meaning::refused(ErrorKind::Unavailable, Reason::Elsewhere);
    }
    if let Some(meaning) = meaning_of(status.message()) {
        return meaning;
    }
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => Meaning::refused(ErrorKind::PermissionDenied, Reason::Denied),
        Code::Unimplemented => Meaning::refused(ErrorKind::Unsupported, Reason::Final),
        Code::OutOfRange if status.message().contains("message length too large") => {
            Meaning { kind: ErrorKind::LimitExceeded, effect: Effect::Unknown, reason: Reason::AnswerTooLong }
        }
        // Whatever broke between here and the server, the request may have arrived.
        Code::Unavailable
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal
        | Code::Aborted
        | Code::DeadlineExceeded
        | Code::DataLoss => Meaning::LOST,
        _ => Meaning { kind: ErrorKind::Internal, effect: Effect::Unknown, reason: Reason::Final },
    }
}

/// Whether the channel had no connection to send it on: tonic then answers with the error of the dial.
fn was_never_sent(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<ConnectError>() {
            return true;
        }
        next = error.source();
    }
    false
}
