//! Why the store refuses a request. A refused request changed nothing.

use crate::{Effect, Error, ErrorKind, Key, Operation, SessionId};

#[derive(Debug)]
pub(super) struct Failure {
    kind: ErrorKind,
    key: Option<Key>,
    message: String,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, key: None, message: message.into() }
    }

    pub(super) fn at(mut self, key: &Key) -> Self {
        self.key = Some(key.clone());
        self
    }

    pub(super) fn invalid(message: String) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(super) fn session_ended(session: SessionId) -> Self {
        Self::new(ErrorKind::SessionEnded, format!("the session {session} has ended, or never was"))
    }

    pub(super) fn lock_lost() -> Self {
        Self::new(ErrorKind::LockLost, "the lock is not held under this grant")
    }

    pub(super) fn lock_timeout() -> Self {
        Self::new(ErrorKind::LockTimeout, "the lock was not free in time")
    }

    pub(super) fn limit(what: &str, most: usize) -> Self {
        Self::new(ErrorKind::LimitExceeded, format!("at most {most} {what} are kept"))
    }

    pub(super) fn into_error(self, operation: Operation) -> Error {
        let error = Error::new(self.kind, Effect::NotApplied, operation, super::registry::BACKEND, self.message);
        match self.key {
            Some(key) => error.with_key(key),
            None => error,
        }
    }
}
