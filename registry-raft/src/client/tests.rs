//! Tests of the client side against scripted members on real sockets.

mod fake;
mod leader;
mod outcome;
mod reads;
mod silence;

use std::sync::Arc;
use std::time::Duration;

use registry_api::{ConnectionPublisher, ConnectionState, ConnectionWatch};
use tokio::time::Instant;

use self::fake::Fake;
use super::{Caller, ClientTiming, Group, Links, Proposer, Router, Target};
use crate::proto;
use crate::proto::answer::Answer;
use crate::proto::command::Command;
use crate::proto::outcome::Outcome as Applied;
use crate::proto::request::Request;

/// A client of some fake members.
struct Client {
    router: Arc<Router>,
    proposer: Proposer,
    connection: ConnectionWatch,
}

fn timing() -> ClientTiming {
    ClientTiming {
        keep_alive_interval: Duration::from_millis(200),
        keep_alive_timeout: Duration::from_millis(200),
        home_patience: Duration::from_millis(200),
        ..ClientTiming::default()
    }
}

fn client_of(targets: Vec<Target>) -> Client {
    client_in("", targets)
}

fn client_in(cluster: &str, targets: Vec<Target>) -> Client {
    let group = Arc::new(Group::new(cluster.to_owned(), targets));
    let links = Links::new(Arc::clone(&group), Caller::client("test"), timing());
    let connection = Arc::new(ConnectionPublisher::new(ConnectionState::Connecting));
    let watch = connection.watch();
    let router = Arc::new(Router::start(group, links, None, timing(), connection));
    Client { proposer: Proposer::new(Arc::clone(&router), "test".to_owned()), router, connection: watch }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn within(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

fn put(key: &str) -> Command {
    Command::Put(proto::Put { key: key.to_owned(), ..proto::Put::default() })
}

fn outcome(applied: Applied) -> Answer {
    let revision = Some(proto::Revision { incarnation: 1, counter: 1 });
    Answer::Outcome(proto::Outcome { revision, outcome: Some(applied) })
}

fn refusal(failure: proto::Failure) -> proto::Refusal {
    proto::Refusal { failure: failure.into(), message: failure.as_str_name().to_owned(), ..proto::Refusal::default() }
}

fn not_leader(hint: &str) -> Answer {
    Answer::Refused(proto::Refusal { leader: hint.to_owned(), ..refusal(proto::Failure::NotLeader) })
}

/// What a leader answers: an identity to whoever registers, done to every command.
fn leads(request: &Request) -> Option<Answer> {
    let Request::Propose(proposal) = request else { return Some(Answer::Done(true)) };
    match proposal.command.as_ref()?.command.as_ref()? {
        Command::RegisterClient(_) => Some(outcome(Applied::Client(7))),
        _ => Some(outcome(Applied::Done(true))),
    }
}

fn proposals(requests: &[Request]) -> Vec<proto::Proposal> {
    let proposals = requests.iter().filter_map(|request| match request {
        Request::Propose(proposal) if proposal.client != 0 => Some(proposal.clone()),
        _ => None,
    });
    proposals.collect()
}

#[tokio::test]
async fn a_client_of_another_cluster_is_not_served() {
    let member = Fake::start(1, |request| leads(request).into()).await;
    let client = client_in("other", vec![member.target()]);
    let reason = client.router.found_home(within(500)).await.unwrap_err();
    assert!(reason.contains("it belongs to cluster \"test\", not to \"other\""), "{reason}");
}

#[tokio::test]
async fn another_member_at_the_address_is_not_taken_for_the_one_that_was_dialled() {
    let member = Fake::start(1, |request| leads(request).into()).await;
    let client = client_of(vec![Target { id: 2, ..member.target() }]);
    let reason = client.router.found_home(within(500)).await.unwrap_err();
    assert!(reason.contains("it is member 1, not 2"), "{reason}");
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_named_with_the_reason() {
    let client = client_of(vec![Target { id: 2, address: "127.0.0.1:1".to_owned() }]);
    let reason = client.router.found_home(within(500)).await.unwrap_err();
    assert!(reason.starts_with("member 2 at 127.0.0.1:1: ") && reason.contains("refused"), "{reason}");
}

#[tokio::test]
async fn connected_means_that_the_home_member_knows_a_leader() {
    let member = Fake::start(1, |request| leads(request).into()).await;
    let mut client = client_of(vec![member.target()]);
    assert_eq!(client.connection.reached(ConnectionState::Connected).await, ConnectionState::Connected);
    member.say_leader(None, 2);
    assert_eq!(client.connection.reached(ConnectionState::Suspended).await, ConnectionState::Suspended);
    member.say_leader(Some(&member.target()), 3);
    assert_eq!(client.connection.reached(ConnectionState::Connected).await, ConnectionState::Connected);
}
