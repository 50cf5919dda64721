//! What went wrong, and the one place that says of each error of the client library whether the request may have been
//! applied.

use registry_api::{Effect, Error, ErrorKind, Key, Operation, SessionId};
use zookeeper_client as zk;

/// The name of this backend.
pub(crate) const BACKEND: &str = "zookeeper";

/// Whether a request changes anything: what only reads was surely not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Reads,
    Changes,
}

/// A failure before it is told as the error of an operation.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    effect: Effect,
    key: Option<Key>,
    message: String,
    source: Option<zk::Error>,
}

impl Failure {
    /// A refusal: nothing was changed.
    pub(crate) fn refused(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, effect: Effect::NotApplied, key: None, message: message.into(), source: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::refused(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn session_ended(session: SessionId) -> Self {
        Self::refused(ErrorKind::SessionEnded, format!("the session {session} has ended, or never was opened here"))
    }

    pub(crate) fn lock_lost() -> Self {
        Self::refused(ErrorKind::LockLost, "the lock is not held under this grant")
    }

    pub(crate) fn lock_timeout() -> Self {
        Self::refused(ErrorKind::LockTimeout, "the lock was not free in time")
    }

    pub(crate) fn closed(request: Request) -> Self {
        Self { effect: request.unanswered(), ..Self::refused(ErrorKind::Closed, "the registry was closed") }
    }

    /// No connection before the deadline: the request was never handed to the client library.
    pub(crate) fn unreachable() -> Self {
        Self::refused(ErrorKind::Unavailable, "no server could be reached in time")
    }

    /// No answer before the deadline.
    pub(crate) fn unanswered(request: Request) -> Self {
        let refused = Self::refused(ErrorKind::DeadlineExceeded, "no answer within the request timeout");
        Self { effect: request.unanswered(), ..refused }
    }

    /// An error that the client library gave for a request that was handed to it.
    pub(crate) fn of(error: zk::Error, request: Request) -> Self {
        let (kind, answered) = classify(&error);
        let effect = if answered { Effect::NotApplied } else { request.unanswered() };
        Self { kind, effect, key: None, message: error.to_string(), source: Some(error) }
    }

    pub(crate) fn at(mut self, key: &Key) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// The same where an earlier step of the operation was applied already.
    pub(crate) fn after_a_part(mut self) -> Self {
        self.effect = Effect::Unknown;
        self
    }

    pub(crate) fn is(&self, error: &zk::Error) -> bool {
        self.source.as_ref() == Some(error)
    }

    /// Whether the request may be tried again when it is one that may be applied twice: no answer came.
    pub(crate) fn is_interruption(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::DeadlineExceeded)
    }

    /// Whether the server refused because something changed since it was looked at.
    pub(crate) fn is_race(&self) -> bool {
        use zk::Error::{BadVersion, NoChildrenForEphemerals, NoNode, NodeExists, NotEmpty};
        matches!(self.source, Some(BadVersion | NoChildrenForEphemerals | NoNode | NodeExists | NotEmpty))
    }

    pub(crate) fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The error of `operation`.
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
}

impl Request {
    fn unanswered(self) -> Effect {
        match self {
            Self::Reads => Effect::NotApplied,
            Self::Changes => Effect::Unknown,
        }
    }
}

/// The kind of an error, and whether it is a server's refusal (nothing was applied) or the lack of an answer.
///
/// `SessionExpired`, `AuthFailed` and `ClientClosed` are also given to requests that were under way when the connection
/// ended, so they say nothing about the request.
fn classify(error: &zk::Error) -> (ErrorKind, bool) {
    use zk::Error as E;
    match error {
        E::NoAuth => (ErrorKind::PermissionDenied, true),
        E::InvalidAcl => (ErrorKind::PermissionDenied, true),
        E::QuotaExceeded => (ErrorKind::LimitExceeded, true),
        E::BadArguments(_) => (ErrorKind::InvalidArgument, true),
        E::Throttled | E::NotReadOnly | E::SessionMoved | E::NoHosts | E::Timeout => (ErrorKind::Unavailable, true),
        E::Unimplemented | E::ReconfigDisabled => (ErrorKind::Unsupported, true),
        E::NoNode | E::BadVersion | E::NodeExists | E::NotEmpty | E::NoChildrenForEphemerals | E::NoWatcher => {
            (ErrorKind::Internal, true)
        }
        E::MarshallingError => (ErrorKind::Internal, true),
        E::AuthFailed => (ErrorKind::PermissionDenied, false),
        E::ConnectionLoss | E::SessionExpired | E::ClientClosed | E::Custom(_) => (ErrorKind::Unavailable, false),
        // A reply that cannot be read, an error code that this library does not know, and what later versions add.
        _ => (ErrorKind::Internal, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(error: zk::Error, request: Request) -> Effect {
        Failure::of(error, request).into_error(Operation::Put).effect()
    }

    #[test]
    fn what_a_server_refused_was_not_applied() {
        for error in [zk::Error::NoNode, zk::Error::BadVersion, zk::Error::NoAuth, zk::Error::QuotaExceeded] {
            assert_eq!(effect(error, Request::Changes), Effect::NotApplied);
        }
    }

    #[test]
    fn a_change_without_an_answer_may_have_been_applied() {
        for error in [zk::Error::ConnectionLoss, zk::Error::SessionExpired, zk::Error::UnexpectedErrorCode(-1)] {
            assert_eq!(effect(error.clone(), Request::Changes), Effect::Unknown, "{error}");
            assert_eq!(effect(error, Request::Reads), Effect::NotApplied);
        }
        let silent = Failure::unanswered(Request::Changes).into_error(Operation::Put);
        assert_eq!((silent.kind(), silent.effect()), (&ErrorKind::DeadlineExceeded, Effect::Unknown));
    }

    #[test]
    fn only_refusals_over_what_changed_meanwhile_are_races() {
        assert!(Failure::of(zk::Error::BadVersion, Request::Changes).is_race());
        assert!(Failure::of(zk::Error::NotEmpty, Request::Changes).is_race());
        assert!(!Failure::of(zk::Error::ConnectionLoss, Request::Changes).is_race());
        assert!(!Failure::lock_lost().is_race());
    }
}
