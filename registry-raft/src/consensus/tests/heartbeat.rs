//! Heartbeats against a scripted peer: how many streams they take, and what becomes of a stream that broke.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{Stream, StreamExt, stream};
use openraft::raft::StreamAppendError;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

use super::cluster::{TIMING, identity, within};
use crate::consensus::dial::{AddressBook, Connector, Purpose, TcpDialer};
use crate::consensus::heartbeat::Heartbeats;
use crate::consensus::types::log_id;
use crate::proto;
use crate::proto::append_response::Result as Appended;
use crate::proto::peer_server::{Peer, PeerServer};

/// Heartbeats of this term are never answered.
const SILENT: u64 = 100;
/// The peer ends the stream instead of answering to this term.
const BREAKS: u64 = 101;
/// The peer knows a later leader than that of this term.
const DEPOSED: u64 = 102;

/// Matches whatever it is sent, at an index that is the term of the heartbeat.
#[derive(Clone, Default)]
struct Scripted {
    streams: Arc<AtomicUsize>,
}

struct Scene {
    streams: Arc<AtomicUsize>,
    heartbeats: Heartbeats,
    _server: AbortOnDropHandle<()>,
}

async fn scene() -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let book = AddressBook::new(BTreeMap::from([(2, listener.local_addr().unwrap().to_string())]));
    let scripted = Scripted::default();
    let streams = Arc::clone(&scripted.streams);
    let server = tonic::transport::Server::builder()
        .add_service(PeerServer::new(scripted))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let server = AbortOnDropHandle::new(tokio::spawn(async move { server.await.unwrap() }));
    let peer = Connector::new(identity(1), book, Arc::new(TcpDialer), TIMING).peer(2, Purpose::Heartbeat);
    Scene { streams, heartbeats: Heartbeats::new(peer), _server: server }
}

fn of_term(term: u64) -> proto::AppendRequest {
    proto::AppendRequest {
        leader: Some(proto::Ballot { term, node: 1, committed: true }),
        ..proto::AppendRequest::default()
    }
}

impl Scene {
    /// Whether a heartbeat of this term is answered by a match of its own.
    async fn is_matched(&mut self, term: u64) -> bool {
        let answer = within(self.heartbeats.send(of_term(term))).await.unwrap();
        answer == Ok(Some(log_id(term, term)))
    }

    fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn all_take_one_stream() {
    let mut scene = scene().await;
    for term in 1..=5 {
        assert!(scene.is_matched(term).await, "{term}");
    }
    assert_eq!(scene.streams(), 1);
}

#[tokio::test]
async fn one_that_was_given_up_leaves_its_answer_to_nobody() {
    let mut scene = scene().await;
    assert!(scene.is_matched(1).await);
    let given_up = tokio::time::timeout(TIMING.heartbeat, scene.heartbeats.send(of_term(SILENT))).await;
    assert!(given_up.is_err());
    assert!(scene.is_matched(2).await);
    assert_eq!(scene.streams(), 2);
}

#[tokio::test]
async fn a_stream_that_broke_is_replaced_within_the_heartbeat() {
    let mut scene = scene().await;
    assert!(scene.is_matched(1).await);
    // It breaks the stream that was open, and the one that follows.
    within(scene.heartbeats.send(of_term(BREAKS))).await.unwrap_err();
    assert_eq!(scene.streams(), 2);
    assert!(scene.is_matched(2).await);
    assert_eq!(scene.streams(), 3);
}

#[tokio::test]
async fn the_stream_is_not_used_again_after_a_peer_contradicted() {
    let mut scene = scene().await;
    let answer = within(scene.heartbeats.send(of_term(DEPOSED))).await.unwrap();
    assert!(matches!(answer, Err(StreamAppendError::HigherVote(_))), "{answer:?}");
    assert!(scene.is_matched(1).await);
    assert_eq!(scene.streams(), 2);
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_an_error_and_no_wait() {
    let mut scene = scene().await;
    drop(scene._server);
    scene._server = AbortOnDropHandle::new(tokio::spawn(async {}));
    within(scene.heartbeats.send(of_term(1))).await.unwrap_err();
}

fn answer_to(heartbeat: &proto::AppendRequest) -> Option<proto::AppendResponse> {
    let term = heartbeat.leader.as_ref()?.term;
    let result = match term {
        BREAKS => return None,
        DEPOSED => Appended::Higher(proto::Ballot { term: term + 1, node: 3, committed: true }),
        _ => Appended::Matched(proto::Matched { last: Some(proto::LogPosition { term, index: term }) }),
    };
    Some(proto::AppendResponse { result: Some(result) })
}

async fn next_answer(
    heartbeats: &mut Streaming<proto::AppendRequest>,
) -> Option<Result<proto::AppendResponse, Status>> {
    let heartbeat = heartbeats.next().await?.ok()?;
    if heartbeat.leader.as_ref().is_some_and(|leader| leader.term == SILENT) {
        std::future::pending::<()>().await;
    }
    answer_to(&heartbeat).map(Ok)
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Peer for Scripted {
    type AppendStream = Answers<proto::AppendResponse>;
    type AttendStream = Answers<proto::AttendNotice>;

    async fn append(
        &self,
        request: Request<Streaming<proto::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        self.streams.fetch_add(1, Ordering::Relaxed);
        // Whoever opens a stream and waits for it before the first heartbeat waits for ever.
        let mut heartbeats = request.into_inner();
        let Some(first) = next_answer(&mut heartbeats).await else { return Ok(Response::new(stream::empty().boxed())) };
        let rest = stream::unfold(heartbeats, async |mut heartbeats| {
            next_answer(&mut heartbeats).await.map(|answer| (answer, heartbeats))
        });
        Ok(Response::new(stream::iter([first]).chain(rest).boxed()))
    }

    async fn vote(&self, _: Request<proto::BallotRequest>) -> Result<Response<proto::BallotResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn pre_vote(&self, _: Request<proto::BallotRequest>) -> Result<Response<proto::BallotResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn transfer_leader(
        &self,
        _: Request<proto::TransferRequest>,
    ) -> Result<Response<proto::TransferResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn install_snapshot(
        &self,
        _: Request<Streaming<proto::SnapshotChunk>>,
    ) -> Result<Response<proto::SnapshotReceipt>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn attend(&self, _: Request<proto::AttendRequest>) -> Result<Response<Self::AttendStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn inquire(&self, _: Request<proto::InquireRequest>) -> Result<Response<proto::InquireResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}
