//! A member that answers by a script.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures::Stream;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status, Streaming};

use super::{Target, proto};
use crate::boundary::PROTOCOL;
use crate::proto::answer::Answer;
use crate::proto::client_message::Message as ToMember;
use crate::proto::member_message::Message as FromMember;
use crate::proto::request::Request;

/// What the script says to a request.
#[derive(Clone, Debug)]
pub(super) enum Reaction {
    Answer(Answer),
    /// Never answered.
    Silence,
    /// The connection breaks.
    Break,
}

impl From<Option<Answer>> for Reaction {
    fn from(answer: Option<Answer>) -> Self {
        answer.map_or(Self::Silence, Self::Answer)
    }
}

type Script = Arc<dyn Fn(&Request) -> Reaction + Send + Sync>;

/// A scripted member on a real socket; it stops with its last clone.
#[derive(Clone)]
pub(super) struct Fake {
    state: Arc<State>,
    _stop: Arc<tokio_util::sync::DropGuard>,
}

struct State {
    target: Target,
    script: Script,
    leader: watch::Sender<proto::Leader>,
    said: broadcast::Sender<FromMember>,
    requests: Mutex<Vec<Request>>,
    heard: watch::Sender<usize>,
    breaking: broadcast::Sender<()>,
    stop: CancellationToken,
}

impl Fake {
    /// Starts the member `id`, which says that it leads term 1.
    pub(super) async fn start(id: u64, script: impl Fn(&Request) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let target = Target { id, address: address.clone() };
        let stop = CancellationToken::new();
        let state = Arc::new(State {
            stop: stop.clone(),
            target,
            script: Arc::new(script),
            leader: watch::Sender::new(proto::Leader { id, address, term: 1 }),
            said: broadcast::Sender::new(64),
            requests: Mutex::default(),
            heard: watch::Sender::new(0),
            breaking: broadcast::Sender::new(1),
        });
        let service = proto::registry_server::RegistryServer::new(Service(Arc::clone(&state)));
        let server = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(stop.clone().run_until_cancelled_owned(server));
        Self { state, _stop: Arc::new(stop.drop_guard()) }
    }

    pub(super) fn target(&self) -> Target {
        self.state.target.clone()
    }

    /// `id@address`
    pub(super) fn hint(&self) -> String {
        format!("{}@{}", self.state.target.id, self.state.target.address)
    }

    /// Says who leads, now and in every later welcome.
    pub(super) fn say_leader(&self, leader: Option<&Target>, term: u64) {
        let leader = leader.map_or(proto::Leader { term, ..proto::Leader::default() }, |leader| proto::Leader {
            id: leader.id,
            address: leader.address.clone(),
            term,
        });
        self.state.leader.send_replace(leader.clone());
        let _nobody_listens = self.state.said.send(FromMember::Leader(leader));
    }

    /// Breaks every connection.
    pub(super) fn break_connections(&self) {
        let _nobody = self.state.breaking.send(());
    }

    /// Everything that was asked so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Waits until so many requests came.
    pub(super) async fn heard(&self, count: usize) {
        self.state.heard.subscribe().wait_for(|heard| *heard >= count).await.unwrap();
    }
}

struct Service(Arc<State>);

#[tonic::async_trait]
impl proto::registry_server::Registry for Service {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<proto::MemberMessage, Status>> + Send>>;

    async fn attach(
        &self,
        request: tonic::Request<Streaming<proto::ClientMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        // Connections outlive the server that accepted them.
        if self.0.stop.is_cancelled() {
            return Err(Status::unavailable("stopped"));
        }
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(serve(Arc::clone(&self.0), request.into_inner(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

async fn serve(
    state: Arc<State>,
    mut incoming: Streaming<proto::ClientMessage>,
    outgoing: mpsc::Sender<Result<proto::MemberMessage, Status>>,
) {
    let mut said = state.said.subscribe();
    let mut breaking = state.breaking.subscribe();
    let say = async |message| outgoing.send(Ok(proto::MemberMessage { message: Some(message) })).await.is_ok();
    let welcome = proto::Welcome {
        protocol: PROTOCOL,
        cluster: "test".to_owned(),
        member: state.target.id,
        leader: Some(state.leader.borrow().clone()),
        ..proto::Welcome::default()
    };
    say(FromMember::Welcome(welcome)).await;
    loop {
        let message = tokio::select! {
            message = incoming.next() => message,
            Ok(message) = said.recv() => {
                say(message).await;
                continue;
            }
            _ = breaking.recv() => None,
            () = state.stop.cancelled() => None,
        };
        let Some(Ok(message)) = message else { return };
        let Some(ToMember::Request(request)) = message.message else { continue };
        let Some(asked) = request.request else { continue };
        state.requests.lock().unwrap().push(asked.clone());
        state.heard.send_modify(|heard| *heard += 1);
        match (state.script)(&asked) {
            Reaction::Answer(answer) => {
                say(FromMember::Answer(proto::Answer { id: request.id, answer: Some(answer) })).await;
            }
            Reaction::Silence => {}
            Reaction::Break => return,
        }
    }
}
