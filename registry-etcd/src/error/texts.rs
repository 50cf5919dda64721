//! The errors that etcd names by their texts (`api/v3rpc/rpctypes/error.go` of its sources).

use registry_api::{Effect, ErrorKind};

use super::{Meaning, Reason};

const PREFIX: &str = "etcdserver: ";

/// What the text of a status means; `None` for one that is not of etcd's own.
pub(super) fn meaning_of(message: &str) -> Option<Meaning> {
    let text = message.strip_prefix(PREFIX)?;
    let refused = |kind, reason| Meaning::refused(kind, reason);
    Some(match text {
        "requested lease not found" => refused(ErrorKind::SessionEnded, Reason::LeaseNotFound),
        "mvcc: required revision has been compacted" => refused(ErrorKind::Internal, Reason::Compacted),
        "mvcc: required revision is a future revision" => refused(ErrorKind::Unavailable, Reason::NotYet),
        // Refused by the member before it was proposed, or by every member alike when it was applied.
        "mvcc: database space exceeded"
        | "too many requests"
        | "throttle: too many requests"
        | "request is too large"
        | "too many operations in txn request" => refused(ErrorKind::LimitExceeded, Reason::Final),
        "duplicate key given in txn request" | "key is not provided" | "too large lease TTL" => {
            refused(ErrorKind::InvalidArgument, Reason::Final)
        }
        "permission denied"
        | "invalid auth token"
        | "user name is empty"
        | "user name not found"
        | "authentication failed, invalid user ID or password"
        | "authentication is not enabled" => refused(ErrorKind::PermissionDenied, Reason::Denied),
        // The token is older than the last change of any user or role: a new connection gets another.
        "revision of auth store is old" => refused(ErrorKind::PermissionDenied, Reason::Elsewhere),
        // The member knows of no leader, or may not serve: nothing was proposed.
        "no leader" | "rpc not supported for learner" => refused(ErrorKind::Unavailable, Reason::Elsewhere),
        "corrupt cluster" => refused(ErrorKind::Internal, Reason::Final),
        // Proposed, perhaps, and not answered.
        "request timed out"
        | "request timed out, possibly due to previous leader failure"
        | "request timed out, possibly due to connection lost"
        | "request timed out, waiting for the applied index took too long"
        | "leader changed"
        | "not leader"
        | "server stopped"
        | "unhealthy cluster" => Meaning::LOST,
        _ => Meaning { kind: ErrorKind::Internal, effect: Effect::Unknown, reason: Reason::Final },
    })
}
