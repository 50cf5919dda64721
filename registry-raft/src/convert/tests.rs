//! Tests of the conversion: nothing from outside panics, and what goes out comes back.

use bytes::Bytes;
use registry_api::*;

use super::options::precondition_of;
use super::*;
use crate::proto::Failure;
use crate::proto::command::Command;

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn grant() -> LockGrant {
    LockGrant {
        name: LockName::parse("/l").unwrap(),
        session: SessionId::new(7),
        token: FencingToken::new(Revision::new(1, 5)),
    }
}

#[test]
fn scopes_and_grants_come_back_as_they_went() {
    for scope in [Scope::Key(key("/a")), Scope::Children(key("/a")), Scope::Tree(key("/a/b")), Scope::All] {
        assert_eq!(Scope::try_from(proto::Scope::from(&scope)), Ok(scope));
    }
    assert_eq!(LockGrant::try_from(proto::LockGrant::from(&grant())), Ok(grant()));
}

#[test]
fn puts_come_back_as_they_went() {
    let preconditions = [
        Precondition::None,
        Precondition::Absent,
        Precondition::At(Revision::new(1, 3)),
        Precondition::OwnedBy(SessionId::new(9)),
        Precondition::LockHeld(grant()),
    ];
    for precondition in preconditions {
        let options = PutOptions::ephemeral(SessionId::new(4)).when(precondition).taking_over();
        let parts = put_parts(&put_of(&key("/a"), Bytes::from_static(b"v"), &options));
        assert_eq!(parts, Ok(PutParts { key: key("/a"), value: Bytes::from_static(b"v"), options }));
    }
}

#[test]
fn transactions_come_back_as_they_went() {
    let transaction = Transaction::builder()
        .absent(key("/a"))
        .check(Check::Present(key("/b")))
        .check(Check::OwnedBy(key("/c"), SessionId::new(1)))
        .at(key("/d"), Revision::new(1, 1))
        .lock_held(grant())
        .put(key("/a"), "1")
        .put_ephemeral(key("/e"), "2", SessionId::new(3))
        .delete(key("/d"))
        .build()
        .unwrap();
    assert_eq!(transaction_of(&commit_of(&transaction).unwrap()), Ok(transaction));
}

#[test]
fn the_session_zero_never_turns_a_put_into_a_persistent_one() {
    let put = put_of(&key("/a"), Bytes::new(), &PutOptions::ephemeral(SessionId::new(0)));
    assert!(matches!(put_parts(&put).unwrap().options.lifetime, Lifetime::Ephemeral(_)));
}

#[test]
fn a_key_that_is_no_key_is_refused() {
    let put = proto::Put { key: "no".to_owned(), ..proto::Put::default() };
    let refusal = put_parts(&put).unwrap_err().into_refusal();
    assert_eq!(refusal.failure(), proto::Failure::InvalidArgument);
    assert!(!refusal.effect_unknown);
    let grant = proto::LockGrant { name: "/l/".to_owned(), session: 1, token: None };
    assert!(matches!(LockGrant::try_from(grant), Err(ConvertError::Invalid(_))));
}

#[test]
fn a_value_one_byte_too_long_is_refused() {
    let put = |len| proto::Put { key: "/a".to_owned(), value: vec![0; len].into(), ..proto::Put::default() };
    assert!(put_parts(&put(VALUE_LEN_MAX)).is_ok());
    assert!(matches!(put_parts(&put(VALUE_LEN_MAX + 1)), Err(ConvertError::Invalid(_))));
}

#[test]
fn a_variant_of_a_newer_version_is_told_apart_from_a_wrong_one() {
    assert!(matches!(Scope::try_from(proto::Scope { scope: None }), Err(ConvertError::Unknown(_))));
    assert!(matches!(precondition_of(Some(proto::Precondition::default())), Err(ConvertError::Unknown(_))));
    let commit = proto::Commit { mutations: vec![proto::Mutation::default()], ..proto::Commit::default() };
    assert!(matches!(transaction_of(&commit), Err(ConvertError::Unknown(_))));
}

#[test]
fn a_precondition_of_one_key_does_not_go_with_a_scope_of_many() {
    let delete = delete_of(&Scope::Tree(key("/a")), &DeleteOptions::when(Precondition::Absent));
    assert!(matches!(delete_parts(&delete), Err(ConvertError::Invalid(_))));
    let delete = delete_of(&Scope::Tree(key("/a")), &DeleteOptions::when(Precondition::LockHeld(grant())));
    assert!(delete_parts(&delete).is_ok());
}

#[test]
fn every_failure_has_its_kind_and_keeps_effect_and_key() {
    let kinds = [
        (Failure::PreconditionFailed, ErrorKind::PreconditionFailed),
        (Failure::OwnedByAnother, ErrorKind::OwnedByAnother { owner: SessionId::new(3) }),
        (Failure::LifetimeMismatch, ErrorKind::LifetimeMismatch),
        (Failure::EphemeralParent, ErrorKind::EphemeralParent),
        (Failure::SessionEnded, ErrorKind::SessionEnded),
        (Failure::LockLost, ErrorKind::LockLost),
        (Failure::LockTimeout, ErrorKind::LockTimeout),
        (Failure::Unavailable, ErrorKind::Unavailable),
        (Failure::DeadlineExceeded, ErrorKind::DeadlineExceeded),
        (Failure::Closed, ErrorKind::Closed),
        (Failure::LimitExceeded, ErrorKind::LimitExceeded),
    ];
    for (failure, kind) in kinds {
        for (effect_unknown, effect) in [(false, Effect::NotApplied), (true, Effect::Unknown)] {
            let (failure, key_text) = (failure.into(), "/k".to_owned());
            let refusal = proto::Refusal { failure, key: key_text, owner: 3, effect_unknown, ..Default::default() };
            let error = error_of(&refusal, Operation::Put);
            assert_eq!((error.kind(), error.effect(), error.key()), (&kind, effect, Some(&key("/k"))));
        }
    }
}

#[test]
fn the_range_of_a_ttl_includes_its_ends() {
    assert!(ttl_of(499).is_err());
    assert!(ttl_of(500).is_ok());
    assert!(ttl_of(600_000).is_ok());
    assert!(ttl_of(600_001).is_err());
    assert!(ttl_of(u64::MAX).is_err());
}

#[test]
fn a_client_proposes_nothing_that_would_stop_the_members_that_read_it() {
    let propose = |client, command| {
        let command = Some(proto::Command { command });
        check_proposal(&proto::Proposal { client, command, ..proto::Proposal::default() })
    };
    let put = |precondition| proto::Put { key: "/a".to_owned(), precondition, ..proto::Put::default() };
    assert!(propose(1, Some(Command::Put(put(None)))).is_ok());
    let unknown = put(Some(proto::Precondition::default()));
    assert_eq!(propose(1, Some(Command::Put(unknown))).unwrap_err().failure(), proto::Failure::Unsupported);
    assert_eq!(propose(1, None).unwrap_err().failure(), proto::Failure::Unsupported);
    let mutations = vec![proto::Mutation::default()];
    let commit = Command::Commit(proto::Commit { checks: vec![], mutations });
    assert_eq!(propose(1, Some(commit)).unwrap_err().failure(), proto::Failure::Unsupported);
}

#[test]
fn a_client_says_nothing_that_only_a_leader_says() {
    let propose = |client, command| {
        let command = Some(proto::Command { command: Some(command) });
        check_proposal(&proto::Proposal { client, command, ..proto::Proposal::default() })
    };
    assert!(propose(0, Command::RegisterClient(proto::RegisterClient::default())).is_ok());
    assert!(propose(0, Command::OpenSession(proto::OpenSession::default())).is_err());
    let expiry = proto::EndSession { session: 1, certificate: Some(proto::DeathCertificate::default()) };
    assert!(propose(1, Command::EndSession(expiry)).is_err());
    assert!(propose(1, Command::EndSession(proto::EndSession { session: 1, certificate: None })).is_ok());
    assert!(propose(1, Command::EndClient(proto::EndClient { client: 2 })).is_err());
    assert!(propose(2, Command::EndClient(proto::EndClient { client: 2 })).is_ok());
}
