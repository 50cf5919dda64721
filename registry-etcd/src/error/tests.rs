//! The truth table of errors: kind, effect, and whether another attempt makes sense.

use super::*;

fn of(status: Status) -> (ErrorKind, Effect, Reason) {
    let failure = Failure::from(etcd_client::Error::GRpcStatus(status));
    (failure.kind, failure.effect, failure.reason)
}

#[test]
fn what_the_server_refuses_was_not_applied() {
    let refused = [
        (Status::not_found("etcdserver: requested lease not found"), ErrorKind::SessionEnded, Reason::LeaseNotFound),
        (
            Status::resource_exhausted("etcdserver: mvcc: database space exceeded"),
            ErrorKind::LimitExceeded,
            Reason::Final,
        ),
        (Status::invalid_argument("etcdserver: request is too large"), ErrorKind::LimitExceeded, Reason::Final),
        (Status::permission_denied("etcdserver: permission denied"), ErrorKind::PermissionDenied, Reason::Denied),
        (Status::unauthenticated("etcdserver: invalid auth token"), ErrorKind::PermissionDenied, Reason::Denied),
        (Status::unavailable("etcdserver: no leader"), ErrorKind::Unavailable, Reason::Elsewhere),
    ];
    for (status, kind, reason) in refused {
        let what = status.message().to_owned();
        assert_eq!(of(status), (kind, Effect::NotApplied, reason), "{what}");
    }
}

#[test]
fn what_may_have_arrived_is_unknown() {
    let lost = [
        Status::unavailable("etcdserver: request timed out"),
        Status::unavailable("etcdserver: leader changed"),
        Status::unavailable("etcdserver: server stopped"),
        Status::unavailable("error reading a body from connection"),
        Status::unknown("transport error"),
        Status::cancelled("Timeout expired"),
        Status::internal("h2 protocol error: broken pipe"),
    ];
    for status in lost {
        let what = status.message().to_owned();
        assert_eq!(of(status), (ErrorKind::Unavailable, Effect::Unknown, Reason::Elsewhere), "{what}");
    }
}

#[test]
fn a_text_that_nobody_knows_is_unknown() {
    let (kind, effect, _) = of(Status::unavailable("etcdserver: something new"));
    assert_eq!((kind, effect), (ErrorKind::Internal, Effect::Unknown));
}

#[test]
fn a_request_without_a_connection_was_not_applied() {
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let status = Status::from_error(Box::new(ConnectError(Box::new(refused))));
    assert_eq!(of(status), (ErrorKind::Unavailable, Effect::NotApplied, Reason::Elsewhere));
}

#[test]
fn a_keep_alive_of_an_ended_lease_is_the_end_of_the_session() {
    let ended = Failure::from(etcd_client::Error::LeaseKeepAliveError("lease not found".to_owned()));
    assert_eq!((ended.kind, ended.effect), (ErrorKind::SessionEnded, Effect::NotApplied));
    let lost = Failure::from(etcd_client::Error::LeaseKeepAliveError("channel closed".to_owned()));
    assert_eq!(lost.kind, ErrorKind::Unavailable);
}
