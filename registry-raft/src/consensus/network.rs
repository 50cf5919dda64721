//! openraft's network: streamed appends, votes, transfers and snapshots over gRPC.

use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, stream};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::v2::RaftNetworkV2;
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend};
use tonic::{Code, Status};

use super::codec;
use super::dial::{Connector, Peer, Purpose};
use super::heartbeat::{self, Heartbeats};
use super::replication::{append_sequence, backoff};
use super::types::{Member, Raft, Snapshot, Vote};
use crate::proto;
use crate::timing::Timing;

/// Bytes of a snapshot in one message.
const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// Makes the clients that openraft asks for.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    connector: Connector,
    timing: Timing,
}

impl Network {
    pub(crate) fn new(connector: Connector, timing: Timing) -> Self {
        Self { connector, timing }
    }

    fn link(&self, target: u64, member: &Member, purpose: Purpose) -> Link {
        self.connector.book().learn(target, &member.address);
        let peer = self.connector.peer(target, purpose);
        let heartbeats = (purpose == Purpose::Heartbeat).then(|| Heartbeats::new(peer.clone()));
        Link { peer, heartbeats, timing: self.timing }
    }
}

impl RaftNetworkFactory<Raft> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, node: &Member) -> Link {
        self.link(target, node, Purpose::Replication)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Member) -> Link {
        self.link(target, node, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Member) -> Link {
        self.link(target, node, Purpose::Snapshot)
    }
}

/// One peer, for one purpose.
pub(crate) struct Link {
    peer: Peer,
    /// Of a link that is there for them.
    heartbeats: Option<Heartbeats>,
    timing: Timing,
}

impl RaftNetworkV2<Raft> for Link {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Raft>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Raft>, RPCError<Raft>> {
        let mut answers = self.stream_append(stream::iter([request]), option).await?;
        match answers.next().await {
            Some(answer) => Ok(answer?.into()),
            None => Err(unreachable("the peer ended the stream without an answer")),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Raft>, RPCError<Raft>>>, RPCError<Raft>>>
    where
        S: Stream<Item = AppendEntriesRequest<Raft>> + OptionalSend + Unpin + 'static,
    {
        let (peer, limit) = (self.peer.clone(), self.timing.answer_timeout);
        async move {
            match &mut self.heartbeats {
                Some(heartbeats) => Ok(heartbeat::each(heartbeats, input).boxed()),
                None => append_sequence(peer, input, limit).await,
            }
        }
        .boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Raft>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Raft>, RPCError<Raft>> {
        let answer = within(self.timing.answer_timeout, self.peer.vote(codec::vote_request(&request))).await?;
        codec::vote_response_of(answer).map_err(unreachable)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Raft>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Raft>, RPCError<Raft>> {
        let answer = within(self.timing.answer_timeout, self.peer.pre_vote(codec::vote_request(&request))).await?;
        codec::vote_response_of(answer).map_err(unreachable)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Raft>, StreamingError<Raft>> {
        let chunks = snapshot_chunks(&vote, &snapshot);
        let sending = within(self.timing.snapshot_timeout, self.peer.install_snapshot(chunks));
        let receipt = tokio::select! {
            receipt = sending => receipt?,
            closed = cancel => return Err(StreamingError::Closed(closed)),
        };
        match receipt.ballot {
            Some(ballot) => Ok(SnapshotResponse::new(codec::vote_of(ballot))),
            None => Err(unreachable("the receipt of a snapshot names no vote").into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Raft>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<Raft>, RPCError<Raft>> {
        let message = proto::TransferRequest {
            leader: Some(codec::ballot(request.from_leader())),
            to: *request.to_node_id(),
            last: request.last_log_id().map(codec::position),
        };
        let answer = within(self.timing.answer_timeout, self.peer.transfer_leader(message)).await?;
        if answer.refused.is_empty() { Ok(Ok(())) } else { Err(unreachable(answer.refused)) }
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(backoff(self.timing.redial_min, self.timing.redial_max)))
    }
}

/// Waits for a unary answer, at most `limit`.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, RPCError<Raft>> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(rpc_error(&status)),
        Err(_) => Err(unreachable(format!("no answer within {limit:?}"))),
    }
}

/// Every failure of a peer counts as unreachable, so that openraft pauses before it tries again.
pub(crate) fn rpc_error(status: &Status) -> RPCError<Raft> {
    if status.code() == Code::PermissionDenied {
        tracing::error!(message = status.message(), "a peer refuses this member");
    }
    let cause = status.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    unreachable(format!("{:?}: {}{cause}", status.code(), status.message()))
}

pub(crate) fn unreachable(reason: impl ToString) -> RPCError<Raft> {
    RPCError::Unreachable(Unreachable::new(&AnyError::error(reason.to_string())))
}

fn snapshot_chunks(vote: &Vote, snapshot: &Snapshot) -> impl Stream<Item = proto::SnapshotChunk> + Send + 'static {
    use proto::snapshot_chunk::Chunk;
    let data = snapshot.snapshot.clone();
    let header = proto::SnapshotAnnouncement {
        leader: Some(codec::ballot(vote)),
        description: Some(codec::snapshot_description(&snapshot.meta)),
        len: data.len() as u64,
        crc32c: crc32c::crc32c(&data),
    };
    let pieces = (0..data.len()).step_by(SNAPSHOT_CHUNK_BYTES).map(move |start| {
        let end = data.len().min(start.saturating_add(SNAPSHOT_CHUNK_BYTES));
        Chunk::Data(data.slice(start..end))
    });
    let chunks = std::iter::once(Chunk::Announcement(header)).chain(pieces);
    stream::iter(chunks.map(|chunk| proto::SnapshotChunk { chunk: Some(chunk) }))
}
