//! What a member answers to its peers.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use openraft::raft::TransferLeaderRequest;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status, Streaming};

use super::codec::{self, Malformed};
use super::dial::MESSAGE_BYTES_MAX;
use super::identity::{PeerGate, Sender};
use super::shared::Shared;
use super::types::{Snapshot, SnapshotMeta, Vote};
use crate::proto;
use crate::proto::peer_server::{Peer, PeerServer};
use crate::proto::snapshot_chunk::Chunk;

/// The largest snapshot that is taken from a peer. It is held in memory while it is installed.
const SNAPSHOT_BYTES_MAX: u64 = 4 << 30;

/// The service, with the check of who calls in front of it.
pub(crate) fn routes(shared: Arc<Shared>) -> Routes {
    let gate = PeerGate::new(shared.identity);
    let server = PeerServer::new(PeerService { shared })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Routes::new(InterceptedService::new(server, gate))
}

struct PeerService {
    shared: Arc<Shared>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

impl PeerService {
    /// Refuses to take part before it is known that this member may: one without a past could contradict what it said
    /// before its data was lost.
    fn admitted(&self) -> Result<(), Status> {
        if *self.shared.admitted.borrow() {
            Ok(())
        } else {
            Err(Status::unavailable("this member does not take part yet"))
        }
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type AppendStream = Answers<proto::AppendResponse>;
    type AttendStream = Answers<proto::AttendNotice>;

    async fn append(
        &self,
        request: Request<Streaming<proto::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        self.admitted()?;
        // A stream that breaks or makes no sense ends here; what came before is still answered.
        let requests = stream::unfold(request.into_inner(), |mut requests| async move {
            let request = requests.message().await.ok()??;
            match codec::append_request_of(request) {
                Ok(request) => Some((request, requests)),
                Err(error) => {
                    tracing::error!(%error, "an append of a peer is ignored");
                    None
                }
            }
        });
        let stopping = self.shared.stopping.clone();
        let answers = self.shared.core.stream_append(requests.boxed()).map(|answer| match answer {
            Ok(result) => Ok(codec::append_response(&result)),
            Err(fatal) => Err(stopped(&fatal)),
        });
        Ok(Response::new(answers.take_until(stopping.cancelled_owned()).boxed()))
    }

    async fn vote(&self, request: Request<proto::BallotRequest>) -> Result<Response<proto::BallotResponse>, Status> {
        self.admitted()?;
        let request = codec::vote_request_of(request.into_inner()).map_err(malformed)?;
        let answer = self.shared.core.vote(request).await.map_err(|fatal| stopped(&fatal))?;
        Ok(Response::new(codec::vote_response(&answer)))
    }

    async fn pre_vote(
        &self,
        request: Request<proto::BallotRequest>,
    ) -> Result<Response<proto::BallotResponse>, Status> {
        self.admitted()?;
        let request = codec::vote_request_of(request.into_inner()).map_err(malformed)?;
        let answer = self.shared.core.pre_vote(request).await.map_err(|fatal| stopped(&fatal))?;
        Ok(Response::new(codec::vote_response(&answer)))
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferRequest>,
    ) -> Result<Response<proto::TransferResponse>, Status> {
        self.admitted()?;
        let request = request.into_inner();
        let leader = request.leader.map(codec::vote_of).ok_or_else(|| Status::invalid_argument("no leader named"))?;
        let transfer = TransferLeaderRequest::new(leader, request.to, request.last.map(codec::log_id_of));
        let answer = self.shared.core.handle_transfer_leader(transfer).await.map_err(|fatal| stopped(&fatal))?;
        let refused = answer.err().map(|error| error.to_string()).unwrap_or_default();
        Ok(Response::new(proto::TransferResponse { refused }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<proto::SnapshotChunk>>,
    ) -> Result<Response<proto::SnapshotReceipt>, Status> {
        self.admitted()?;
        let (vote, meta, data) = receive_snapshot(request.into_inner(), self.shared.timing.answer_timeout).await?;
        let snapshot = Snapshot { meta, snapshot: data };
        let answer = self.shared.core.install_full_snapshot(vote, snapshot).await.map_err(|fatal| stopped(&fatal))?;
        Ok(Response::new(proto::SnapshotReceipt { ballot: Some(codec::ballot(&answer.vote)) }))
    }

    async fn attend(&self, request: Request<proto::AttendRequest>) -> Result<Response<Self::AttendStream>, Status> {
        let from = sender(&request)?;
        let shared = self.shared.clone();
        let (notices, receiver) = mpsc::channel(2);
        let stopping = shared.stopping.clone();
        self.shared.tasks.spawn(async move {
            let notice = |leaving| proto::AttendNotice {
                birth: shared.birth,
                address: shared.address(),
                leaving,
                known_birth: shared.known_birth(from),
            };
            if notices.send(Ok(notice(false))).await.is_err() {
                return;
            }
            tokio::select! {
                () = notices.closed() => {}
                () = stopping.cancelled() => drop(notices.try_send(Ok(notice(true)))),
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver).boxed()))
    }

    async fn inquire(
        &self,
        request: Request<proto::InquireRequest>,
    ) -> Result<Response<proto::InquireResponse>, Status> {
        let from = sender(&request)?;
        let metrics = self.shared.server_metrics();
        let term = metrics.vote.leader_id.term;
        let known_birth = self.shared.known_birth(from);
        Ok(Response::new(proto::InquireResponse { formed: term > 0, term, known_birth }))
    }
}

/// The member that calls, as the gate found it.
fn sender<T>(request: &Request<T>) -> Result<u64, Status> {
    match request.extensions().get::<Sender>() {
        Some(Sender(id)) => Ok(*id),
        None => Err(Status::permission_denied("the caller is not known")),
    }
}

/// Takes in a whole snapshot; each message must come within `limit`.
async fn receive_snapshot(
    mut chunks: Streaming<proto::SnapshotChunk>,
    limit: Duration,
) -> Result<(Vote, SnapshotMeta, Bytes), Status> {
    let Some(Chunk::Announcement(header)) = next_chunk(&mut chunks, limit).await? else {
        return Err(Status::invalid_argument("a snapshot starts with its header"));
    };
    if header.len > SNAPSHOT_BYTES_MAX {
        return Err(Status::resource_exhausted(format!("a snapshot of {} bytes is too large", header.len)));
    }
    let vote = header.leader.map(codec::vote_of).ok_or_else(|| Status::invalid_argument("no leader named"))?;
    let description = header.description.ok_or_else(|| Status::invalid_argument("the snapshot is not described"))?;
    let meta = codec::snapshot_meta_of(description).map_err(malformed)?;
    // The length is the sender's word: memory is taken as the data comes.
    let mut data = BytesMut::new();
    while let Some(chunk) = next_chunk(&mut chunks, limit).await? {
        let Chunk::Data(piece) = chunk else {
            return Err(Status::invalid_argument("a second header in a snapshot"));
        };
        data.extend_from_slice(&piece);
        if data.len() as u64 > header.len {
            return Err(Status::invalid_argument("more data than the header of the snapshot says"));
        }
    }
    if data.len() as u64 != header.len || crc32c::crc32c(&data) != header.crc32c {
        return Err(Status::data_loss("the snapshot did not arrive whole"));
    }
    Ok((vote, meta, data.freeze()))
}

async fn next_chunk(chunks: &mut Streaming<proto::SnapshotChunk>, limit: Duration) -> Result<Option<Chunk>, Status> {
    let message = tokio::time::timeout(limit, chunks.message())
        .await
        .map_err(|_elapsed| Status::deadline_exceeded("the snapshot stopped arriving"))??;
    match message {
        None => Ok(None),
        Some(proto::SnapshotChunk { chunk: Some(chunk) }) => Ok(Some(chunk)),
        Some(_) => Err(Status::invalid_argument("an unknown piece of a snapshot")),
    }
}

fn malformed(error: Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(error: &impl std::error::Error) -> Status {
    Status::unavailable(format!("this member has stopped: {error}"))
}
