//! Errors: what went wrong, where, and whether the operation may have been applied.

use std::error::Error as StdError;
use std::fmt;

use crate::{Key, SessionId};

/// The result of a registry operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whether an operation that failed took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It did not and never will. This is never wrong (guarantee G15).
    NotApplied,
    /// It may have been applied, or may still be.
    Unknown,
}

/// What kind of failure it is: what a program decides by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong: a value too long, a time to live out of range, options that exclude each other.
    InvalidArgument,
    /// A precondition or check does not hold.
    PreconditionFailed,
    /// The key is an ephemeral key of another live session.
    OwnedByAnother {
        /// That session.
        owner: SessionId,
    },
    /// The put would change the key between persistent and ephemeral.
    LifetimeMismatch,
    /// The put would give an ephemeral key children, or make a key with children ephemeral.
    EphemeralParent,
    /// The session has ended, or never was.
    SessionEnded,
    /// The lock is not held under this grant (any more).
    LockLost,
    /// The lock was not free within the time that the request was ready to wait.
    LockTimeout,
    /// No server that can serve: unreachable, or without a quorum.
    Unavailable,
    /// The operation took longer than its deadline.
    DeadlineExceeded,
    /// The registry was closed.
    Closed,
    /// A documented limit is reached: keys, sessions, waiters, memory, disk.
    LimitExceeded,
    /// The caller may not do this.
    PermissionDenied,
    /// The backend cannot do this; its capabilities say so.
    Unsupported,
    /// The configuration is wrong.
    Configuration,
    /// The backend broke its own rules: a damaged file, an answer that cannot be decoded.
    Internal,
}

impl ErrorKind {
    /// The kind's name as metrics and logs show it, such as `session_ended`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::PreconditionFailed => "precondition_failed",
            Self::OwnedByAnother { .. } => "owned_by_another",
            Self::LifetimeMismatch => "lifetime_mismatch",
            Self::EphemeralParent => "ephemeral_parent",
            Self::SessionEnded => "session_ended",
            Self::LockLost => "lock_lost",
            Self::LockTimeout => "lock_timeout",
            Self::Unavailable => "unavailable",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Closed => "closed",
            Self::LimitExceeded => "limit_exceeded",
            Self::PermissionDenied => "permission_denied",
            Self::Unsupported => "unsupported",
            Self::Configuration => "configuration",
            Self::Internal => "internal",
        }
    }
}

/// What was being done when an error happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "each is the method of `Registry`, handle or step of connecting that it is named after"
)]
pub enum Operation {
    Connect,
    OpenSession,
    Heartbeat,
    CloseSession,
    Get,
    List,
    Put,
    Delete,
    Commit,
    Subscribe,
    Acquire,
    Release,
    InspectLock,
    CheckLock,
    Close,
}

impl Operation {
    /// The operation's name as metrics and logs show it, such as `open_session`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::OpenSession => "open_session",
            Self::Heartbeat => "heartbeat",
            Self::CloseSession => "close_session",
            Self::Get => "get",
            Self::List => "list",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Commit => "commit",
            Self::Subscribe => "subscribe",
            Self::Acquire => "acquire",
            Self::Release => "release",
            Self::InspectLock => "inspect_lock",
            Self::CheckLock => "check_lock",
            Self::Close => "close",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A failed registry operation.
///
/// Absence is not an error: reading or deleting what does not exist succeeds. An error cannot be built without saying
/// its [`Effect`]; [`Effect::Unknown`] must never be taken for success or for failure.
#[derive(Debug)]
pub struct Error(Box<Details>);

#[derive(Debug)]
struct Details {
    kind: ErrorKind,
    effect: Effect,
    operation: Operation,
    backend: &'static str,
    key: Option<Key>,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `operation` on `backend`. `message` is one line for people: what is wrong, and what would be right.
    pub fn new(
        kind: ErrorKind,
        effect: Effect,
        operation: Operation,
        backend: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self(Box::new(Details { kind, effect, operation, backend, key: None, message: message.into(), source: None }))
    }

    /// With the key that it is about.
    #[must_use]
    pub fn with_key(mut self, key: Key) -> Self {
        self.0.key = Some(key);
        self
    }

    /// With the error below it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Whether the operation may have been applied.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// What was being done.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// The name of the backend.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.0.backend
    }

    /// The key that it is about.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.0.key.as_ref()
    }

    /// The same error about `key`, in other words: how a wrapper tells it in its own names.
    pub(crate) fn retold(mut self, key: Option<Key>, message: String) -> Self {
        self.0.key = key;
        self.0.message = message;
        self
    }

    /// The same error for another caller that waited for the same result. The error below stays with the first.
    pub(crate) fn duplicate(&self) -> Self {
        let Details { kind, effect, operation, backend, key, message, .. } = &*self.0;
        let copy = Self::new(kind.clone(), *effect, *operation, backend, message.clone());
        match key {
            Some(key) => copy.with_key(key.clone()),
            None => copy,
        }
    }

    /// The message without its context.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { effect, operation, backend, key, message, .. } = &*self.0;
        write!(formatter, "{backend}: {operation}")?;
        if let Some(key) = key {
            write!(formatter, " {key}")?;
        }
        write!(formatter, ": {message}")?;
        match effect {
            Effect::NotApplied => Ok(()),
            Effect::Unknown => formatter.write_str(" (it may have been applied)"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
