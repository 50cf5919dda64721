//! Who is asked for a read: the leader for what only it can confirm, the home member for everything else.

use futures::FutureExt;

use super::fake::Reaction;
use super::*;

const LINEARIZABLE: Option<proto::Freshness> = Some(proto::Freshness { linearizable: true, at_least: None });

fn get() -> Request {
    Request::Get(proto::Get { key: "/a".to_owned(), freshness: LINEARIZABLE })
}

fn stale_get() -> Request {
    Request::Get(proto::Get { key: "/a".to_owned(), freshness: None })
}

fn list() -> Request {
    Request::List(proto::List { freshness: LINEARIZABLE, ..proto::List::default() })
}

fn inspect() -> Request {
    Request::InspectLock(proto::InspectLock { name: "/a".to_owned(), freshness: LINEARIZABLE })
}

/// Answers reads, and what keeps a connection to a leader.
fn reads(request: &Request) -> Option<Answer> {
    match request {
        Request::Get(_) => Some(Answer::Get(proto::GetAnswer::default())),
        Request::List(_) => Some(Answer::List(proto::ListPart { last: true, ..proto::ListPart::default() })),
        Request::InspectLock(_) => Some(Answer::Lock(proto::LockState::default())),
        other => leads(other),
    }
}

/// Leads, and never answers a get.
fn silent(request: &Request) -> Reaction {
    match request {
        Request::Get(_) => Reaction::Silence,
        other => leads(other).into(),
    }
}

fn count(member: &Fake, of: impl Fn(&Request) -> bool) -> usize {
    member.requests().iter().filter(|request| of(request)).count()
}

fn gets(member: &Fake) -> usize {
    count(member, |request| matches!(request, Request::Get(_)))
}

/// A client whose home is this follower, and which is connected to the leader that the follower names.
async fn client_between(home: &Fake, leader: &Fake) -> Client {
    home.say_leader(Some(&leader.target()), 1);
    let client = client_of(vec![home.target()]);
    client.router.found_home(soon()).await.unwrap();
    client.router.at_leader(&Request::KeepClient(1), soon()).await.unwrap();
    client
}

#[tokio::test]
async fn the_leader_is_asked_for_what_it_has_to_confirm_and_the_home_for_the_rest() {
    let leader = Fake::start(2, |request| reads(request).into()).await;
    let home = Fake::start(1, |request| reads(request).into()).await;
    let client = client_between(&home, &leader).await;
    for request in [get(), inspect(), stale_get(), list()] {
        client.router.read(&request, soon()).await.unwrap();
    }
    assert_eq!(count(&leader, |request| *request == get() || *request == inspect()), 2);
    assert_eq!(count(&home, |request| *request == stale_get() || *request == list()), 2);
    assert_eq!((gets(&leader), gets(&home)), (1, 1));
}

#[tokio::test]
async fn a_leader_is_not_dialled_for_a_read() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let leader = Target { id: 2, address: listener.local_addr().unwrap().to_string() };
    let home = Fake::start(1, |request| reads(request).into()).await;
    home.say_leader(Some(&leader), 1);
    let client = client_of(vec![home.target()]);
    client.router.found_home(soon()).await.unwrap();
    client.router.read(&get(), soon()).await.unwrap();
    assert_eq!(gets(&home), 1);
    assert!(listener.accept().now_or_never().is_none());
}

#[tokio::test]
async fn a_leader_that_stays_silent_leaves_the_read_to_the_home_member_in_time() {
    let leader = Fake::start(2, silent).await;
    let home = Fake::start(1, |request| reads(request).into()).await;
    let client = client_between(&home, &leader).await;
    client.router.read(&get(), soon()).await.unwrap();
    assert_eq!((gets(&leader), gets(&home)), (1, 1));
}

/// Leads, and refuses a get with this failure.
fn refuses(failure: proto::Failure) -> impl Fn(&Request) -> Reaction {
    move |request| match request {
        Request::Get(_) => Reaction::Answer(Answer::Refused(refusal(failure))),
        other => leads(other).into(),
    }
}

#[tokio::test]
async fn a_leader_that_cannot_answer_leaves_the_read_to_the_home_member() {
    let leader = Fake::start(2, refuses(proto::Failure::Unavailable)).await;
    let home = Fake::start(1, |request| reads(request).into()).await;
    let client = client_between(&home, &leader).await;
    client.router.read(&get(), soon()).await.unwrap();
    assert_eq!((gets(&leader), gets(&home)), (1, 1));
}

#[tokio::test]
async fn a_refusal_that_no_other_member_would_change_is_final() {
    let leader = Fake::start(2, refuses(proto::Failure::InvalidArgument)).await;
    let home = Fake::start(1, |request| reads(request).into()).await;
    let client = client_between(&home, &leader).await;
    let refused = client.router.read(&get(), soon()).await.unwrap_err();
    assert_eq!((refused.failure(), gets(&home)), (proto::Failure::InvalidArgument, 0));
}

/// Reads share the connection to the leader with the heartbeats of sessions.
#[tokio::test]
async fn reads_that_wait_do_not_hold_up_a_heartbeat() {
    let leader = Fake::start(1, silent).await;
    let client = client_of(vec![leader.target()]);
    client.router.found_home(soon()).await.unwrap();
    let deadline = soon();
    let request = get();
    let reading = futures::future::join_all((0..1000).map(|_| client.router.read(&request, deadline)));
    let beating = async {
        // As many as one connection carries: the others wait for their turns.
        leader.heard(900).await;
        client.router.at_leader(&Request::Heartbeat(proto::HeartbeatRequest::default()), deadline).await
    };
    tokio::select! {
        _ = reading => panic!("a silent leader answered"),
        answered = beating => drop(answered.unwrap()),
    }
}

#[tokio::test]
async fn a_read_leaves_a_leader_that_another_one_followed() {
    let leader = Fake::start(2, silent).await;
    let home = Fake::start(1, |request| reads(request).into()).await;
    let client = client_between(&home, &leader).await;
    let router = Arc::clone(&client.router);
    let reading = tokio::spawn(async move { router.read(&get(), soon()).await });
    leader.heard(2).await;
    let next = home.target();
    home.say_leader(Some(&next), 2);
    reading.await.unwrap().unwrap();
    assert_eq!(gets(&home), 1);
}
