//! A client's stream: what is refused, what is bounded, and how it ends.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::member::places::Places;
use crate::member::quorum_fake::{Bench, put};
use crate::proto::answer::Answer;

const PATIENCE: Duration = Duration::from_secs(10);

/// The client's end of a stream.
struct Client {
    service: Arc<Service>,
    to_member: mpsc::Sender<Result<proto::ClientMessage, Status>>,
    from_member: Outbox,
}

impl Client {
    fn new(bench: &Bench) -> Self {
        Self::of(bench.service())
    }

    fn of(service: Arc<Service>) -> Self {
        let (to_member, incoming) = mpsc::channel(16);
        let from_member = service.attach(ReceiverStream::new(incoming));
        Self { service, to_member, from_member }
    }

    /// A client whose greeting was welcome.
    async fn greeted(bench: &Bench) -> Self {
        let mut client = Self::new(bench);
        assert!(client.greet().await.is_none());
        client
    }

    /// Why the greeting was refused, if it was.
    async fn greet(&mut self) -> Option<proto::Refusal> {
        self.greet_as(greeting()).await
    }

    async fn greet_as(&mut self, greeting: proto::Greeting) -> Option<proto::Refusal> {
        self.say(FromClient::Greeting(greeting)).await;
        let Some(Ok(ToClient::Welcome(welcome))) = self.hear().await else { panic!("no welcome") };
        welcome.refused
    }

    /// Ends the stream, and waits until the member has done so too.
    async fn leave(&mut self) {
        (self.to_member, _) = mpsc::channel(1);
        while self.hear().await.is_some() {}
    }

    async fn say(&self, message: FromClient) {
        let message = Ok(proto::ClientMessage { message: Some(message) });
        timeout(PATIENCE, self.to_member.send(message)).await.expect("room in time").expect("a member that listens");
    }

    async fn ask(&self, id: u64, request: Request) {
        self.say(FromClient::Request(proto::Request { id, deadline_ms: 5000, request: Some(request) })).await;
    }

    async fn hear(&mut self) -> Option<Result<ToClient, Status>> {
        let heard = timeout(PATIENCE, self.from_member.recv()).await.expect("a message in time");
        heard.map(|message| message.map(|message| message.message.expect("a message")))
    }

    async fn answer(&mut self) -> (u64, Answer) {
        match self.hear().await {
            Some(Ok(ToClient::Answer(answer))) => (answer.id, answer.answer.expect("an answer")),
            other => panic!("no answer: {other:?}"),
        }
    }

    async fn refusal(&mut self) -> (u64, proto::Failure) {
        match self.answer().await {
            (id, Answer::Refused(refusal)) => (id, refusal.failure()),
            other => panic!("no refusal: {other:?}"),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.service.stop.cancel();
    }
}

fn greeting() -> proto::Greeting {
    proto::Greeting { protocol: PROTOCOL, cluster: "test".to_owned(), label: "a client".to_owned(), member: 0 }
}

fn subscribe(credit: u64) -> Request {
    let scope = Some(proto::Scope { scope: Some(proto::scope::Scope::All(true)) });
    Request::Subscribe(proto::Subscribe { scope, after: None, at_least: None, credit })
}

fn get(key: &str) -> Request {
    Request::Get(proto::Get { key: key.to_owned(), freshness: None })
}

#[tokio::test]
async fn a_greeting_that_is_not_right_is_refused_and_ends_the_stream() {
    let wrong = [
        (proto::Greeting { protocol: PROTOCOL + 1, ..greeting() }, proto::Failure::Unsupported),
        (proto::Greeting { cluster: "other".to_owned(), ..greeting() }, proto::Failure::PermissionDenied),
        (proto::Greeting { label: "x".repeat(256), ..greeting() }, proto::Failure::InvalidArgument),
    ];
    for (greeting, failure) in wrong {
        let bench = Bench::new();
        let mut client = Client::new(&bench);
        client.say(FromClient::Greeting(greeting)).await;
        let Some(Ok(ToClient::Welcome(welcome))) = client.hear().await else { panic!("no welcome") };
        assert_eq!(welcome.refused.expect("a refusal").failure(), failure);
        assert!(client.hear().await.is_none());
    }
}

#[tokio::test]
async fn a_client_too_many_is_told_so_and_served_when_another_one_has_gone() {
    let mut bench = Bench::new();
    bench.places = Places::for_clients(1);
    let service = bench.service();
    let mut first = Client::of(Arc::clone(&service));
    assert_eq!(first.greet().await, None);
    let mut second = Client::of(Arc::clone(&service));
    let refusal = second.greet().await.expect("a refusal");
    assert_eq!(refusal.failure(), proto::Failure::LimitExceeded);
    assert_eq!(refusal.message, "it serves as many clients as it may: 1");
    assert!(second.hear().await.is_none());
    first.leave().await;
    assert_eq!(Client::of(service).greet().await, None);
}

#[tokio::test]
async fn a_member_needs_no_place_of_a_client() {
    let mut bench = Bench::new();
    bench.places = Places::for_clients(0);
    let mut member = Client::new(&bench);
    assert_eq!(member.greet_as(proto::Greeting { member: 2, ..greeting() }).await, None);
}

#[tokio::test]
async fn nothing_is_served_before_the_greeting() {
    let bench = Bench::new();
    let mut client = Client::new(&bench);
    client.ask(1, get("/a")).await;
    assert_eq!(client.hear().await.unwrap().unwrap_err().code(), tonic::Code::InvalidArgument);
    assert!(client.hear().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_greet_is_cut_off() {
    let bench = Bench::new();
    let mut client = Client::new(&bench);
    assert_eq!(client.hear().await.unwrap().unwrap_err().code(), tonic::Code::DeadlineExceeded);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_kind_and_ends_the_stream() {
    let unreadable: [Result<proto::ClientMessage, Status>; 3] = [
        Err(Status::internal("failed to decode")),
        Ok(proto::ClientMessage { message: None }),
        Ok(proto::ClientMessage { message: Some(FromClient::Greeting(greeting())) }),
    ];
    for message in unreadable {
        let bench = Bench::new();
        let mut client = Client::greeted(&bench).await;
        client.to_member.send(message).await.unwrap();
        assert_eq!(client.hear().await.unwrap().unwrap_err().code(), tonic::Code::InvalidArgument);
        assert!(client.hear().await.is_none());
    }
}

#[tokio::test]
async fn a_request_that_is_not_known_or_not_right_is_refused_and_the_stream_goes_on() {
    let bench = Bench::new();
    let mut client = Client::greeted(&bench).await;
    client.say(FromClient::Request(proto::Request { id: 1, deadline_ms: 5000, request: None })).await;
    assert_eq!(client.refusal().await, (1, proto::Failure::Unsupported));
    client.ask(2, get("no key")).await;
    assert_eq!(client.refusal().await, (2, proto::Failure::InvalidArgument));
    client.ask(3, Request::Propose(proto::Proposal::default())).await;
    assert_eq!(client.refusal().await, (3, proto::Failure::Unsupported));
    client.ask(4, get("/a")).await;
    assert!(matches!(client.answer().await, (4, Answer::Get(_))));
}

#[tokio::test]
async fn requests_under_way_are_bounded_and_heartbeats_pass_by() {
    let bench = Bench::new();
    bench.quorum.lead(1);
    let mut client = Client::greeted(&bench).await;
    let far = proto::Freshness { linearizable: false, at_least: Some(proto::Revision { incarnation: 1, counter: 99 }) };
    for id in 0..=REQUESTS_PER_CONNECTION_MAX as u64 {
        client.ask(id, Request::Get(proto::Get { key: "/a".to_owned(), freshness: Some(far) })).await;
    }
    assert_eq!(client.refusal().await, (REQUESTS_PER_CONNECTION_MAX as u64, proto::Failure::LimitExceeded));
    client.ask(5000, Request::Heartbeat(proto::HeartbeatRequest { session: 77, last_round_trip_us: 0 })).await;
    assert_eq!(client.answer().await.0, 5000);
    client.say(FromClient::Cancel(0)).await;
    client.ask(5001, get("/a")).await;
    assert!(matches!(client.answer().await, (5001, Answer::Get(_))), "a withdrawn request makes room");
}

#[tokio::test]
async fn a_subscription_gives_events_by_credit_until_it_is_cancelled() {
    let bench = Bench::new();
    bench.quorum.lead(1);
    let mut client = Client::greeted(&bench).await;
    client.ask(7, subscribe(1)).await;
    assert!(matches!(client.answer().await, (7, Answer::Subscribed(_))));
    let Some(Ok(ToClient::Events(snapshot))) = client.hear().await else { panic!("no snapshot") };
    assert_eq!((snapshot.subscription, snapshot.events.len()), (7, 1));
    bench.quorum.apply([put("/a", "1"), put("/b", "1")]);
    client.say(FromClient::Credit(proto::Credit { subscription: 7, events: 9 })).await;
    let Some(Ok(ToClient::Events(events))) = client.hear().await else { panic!("no events") };
    assert_eq!(events.events.len(), 2);
    client.say(FromClient::Cancel(7)).await;
    client.ask(8, get("/a")).await;
    assert!(matches!(client.answer().await, (8, Answer::Get(_))));
    client.ask(7, subscribe(1)).await;
    assert!(matches!(client.answer().await, (7, Answer::Subscribed(_))), "the id is free again");
}

#[tokio::test]
async fn a_change_of_the_leader_is_told() {
    let bench = Bench::new();
    let mut client = Client::greeted(&bench).await;
    let leader = LeaderView { id: 3, address: "member-3:7001".to_owned(), term: 9 };
    bench.view.send_modify(|view| view.leader = Some(leader));
    assert!(matches!(client.hear().await, Some(Ok(ToClient::Leader(leader))) if leader.id == 3 && leader.term == 9));
    bench.view.send_modify(|view| view.leader = None);
    assert!(matches!(client.hear().await, Some(Ok(ToClient::Leader(leader))) if leader.id == 0));
}

#[tokio::test]
async fn a_member_that_leaves_answers_what_is_under_way_and_says_goodbye() {
    let bench = Bench::new();
    bench.quorum.lead(1);
    bench.quorum.gate.forget_permits(usize::MAX);
    let mut client = Client::greeted(&bench).await;
    let command = proto::command::Command::RegisterClient(proto::RegisterClient {
        nonce: vec![1; 16].into(),
        label: String::new(),
    });
    let command = Some(proto::Command { command: Some(command) });
    client.ask(1, Request::Propose(proto::Proposal { command, ..proto::Proposal::default() })).await;
    while bench.quorum.take_proposed().is_empty() {
        tokio::task::yield_now().await;
    }
    client.service.leaving.cancel();
    bench.quorum.gate.add_permits(1);
    assert!(matches!(client.answer().await, (1, Answer::Outcome(_))));
    assert!(matches!(client.hear().await, Some(Ok(ToClient::Goodbye(true)))));
    assert!(client.hear().await.is_none());
}
