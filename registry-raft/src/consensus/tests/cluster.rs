//! A group of members in this process, each with a listener of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use conformance_tests::free_port;
use futures::StreamExt;
use prost::Message;
use registry_api::Revision;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::wires::{CutWire, Switchboard};
use crate::consensus::{ApplyObserver, ClusterId, CompactionPolicy, Consensus, ConsensusSetup, Identity, ProposeError};
use crate::proto;
use crate::state_machine::{Change, StateMachine};
use crate::storage::Storage;
use crate::timing::Timing;

/// No wait of these tests is longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What the members of a test run by.
pub(super) const TIMING: Timing = Timing::test();

pub(super) struct Cluster {
    pub(super) board: Switchboard,
    pub(super) members: BTreeMap<u64, Running>,
    pub(super) addresses: BTreeMap<u64, String>,
    pub(super) compaction: CompactionPolicy,
    listeners: BTreeMap<u64, std::net::TcpListener>,
    clients: AtomicU64,
}

/// A member that runs.
pub(super) struct Running {
    pub(super) consensus: Consensus,
    pub(super) observer: Arc<Observed>,
    process: CancellationToken,
    _server: AbortOnDropHandle<()>,
}

/// What an observer was told.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) applied: Mutex<Vec<u64>>,
    pub(super) replaced: Mutex<Vec<u64>>,
}

impl ApplyObserver for Observed {
    fn applied(&self, index: u64, _changes: &[Change], _revision: Revision) {
        self.applied.lock().unwrap().push(index);
    }

    fn replaced(&self, index: u64, _state: &StateMachine) {
        self.replaced.lock().unwrap().push(index);
    }
}

pub(super) fn identity(node: u64) -> Identity {
    Identity { cluster: ClusterId::of_name("test"), node }
}

impl Cluster {
    /// Addresses for so many members; nobody runs yet.
    pub(super) fn prepare(count: u64) -> Self {
        let mut cluster = Self {
            board: Switchboard::default(),
            members: BTreeMap::new(),
            addresses: BTreeMap::new(),
            compaction: CompactionPolicy::default(),
            listeners: BTreeMap::new(),
            clients: AtomicU64::new(1),
        };
        for id in 1..=count {
            let listener = std::net::TcpListener::bind(("127.0.0.1", free_port().unwrap())).unwrap();
            listener.set_nonblocking(true).unwrap();
            let address = listener.local_addr().unwrap().to_string();
            cluster.board.register(id, &address);
            cluster.addresses.insert(id, address);
            cluster.listeners.insert(id, listener);
        }
        cluster
    }

    /// So many members in memory, which run.
    pub(super) async fn start(count: u64) -> Self {
        let mut cluster = Self::prepare(count);
        for id in 1..=count {
            cluster.start_member(id, Storage::memory().unwrap()).await;
        }
        cluster
    }

    pub(super) async fn start_member(&mut self, id: u64, storage: Storage) {
        let address = self.addresses[&id].clone();
        let listener = match self.listeners.remove(&id) {
            Some(listener) => TcpListener::from_std(listener).unwrap(),
            None => TcpListener::bind(&address).await.unwrap(),
        };
        let process = CancellationToken::new();
        let observer = Arc::new(Observed::default());
        let consensus = Consensus::start(ConsensusSetup {
            identity: identity(id),
            members: self.addresses.clone(),
            storage,
            timing: TIMING,
            compaction: self.compaction,
            observer: observer.clone(),
            dialer: self.board.dialer(id, process.clone()),
        })
        .await
        .unwrap();
        let token = process.clone();
        let incoming = TcpListenerStream::new(listener)
            .map(move |stream| stream.map(|stream| CutWire::new(stream, token.clone())));
        let server = tonic::transport::Server::builder()
            .tcp_nodelay(true)
            .add_routes(consensus.routes())
            .serve_with_incoming(incoming);
        let server = AbortOnDropHandle::new(tokio::spawn(async move { server.await.unwrap() }));
        self.members.insert(id, Running { consensus, observer, process, _server: server });
    }

    /// Ends a member as `kill -9` would: its sockets are closed, and it says and writes nothing more.
    pub(super) async fn kill(&mut self, id: u64) {
        let member = self.members.remove(&id).unwrap();
        member.process.cancel();
        drop(member._server);
        member.consensus.shutdown().await;
    }

    /// Stops a member in good order.
    pub(super) async fn stop(&mut self, id: u64) {
        let member = self.members.remove(&id).unwrap();
        member.consensus.shutdown().await;
        member.process.cancel();
    }

    pub(super) fn member(&self, id: u64) -> &Consensus {
        &self.members[&id].consensus
    }

    /// Waits until one of these members leads and is ready, and gives its id.
    pub(super) async fn leader_among(&self, ids: &[u64]) -> u64 {
        let waits = ids.iter().map(|id| {
            Box::pin(async move {
                self.member(*id).leadership().wait_for(|now| now.ready).await.unwrap();
                *id
            })
        });
        within(futures::future::select_all(waits)).await.0
    }

    /// Waits until one of these members leads and a quorum confirms it: one that has yet to learn that it was deposed is
    /// passed over.
    pub(super) async fn confirmed_leader(&self, ids: &[u64]) -> u64 {
        within(async {
            loop {
                let leader = self.leader_among(ids).await;
                if self.member(leader).read_index().await.is_ok() {
                    return leader;
                }
                let mut leadership = self.member(leader).leadership();
                drop(tokio::time::timeout(TIMING.heartbeat, leadership.changed()).await);
            }
        })
        .await
    }

    pub(super) async fn leader(&self) -> u64 {
        self.leader_among(&self.members.keys().copied().collect::<Vec<_>>()).await
    }

    /// A write that is applied once; gives the client identity that it made.
    pub(super) async fn write(&self, leader: u64) -> Result<u64, ProposeError> {
        let outcomes = self.member(leader).propose(self.batch()).await?;
        match outcomes.first().and_then(|outcome| outcome.outcome.clone()) {
            Some(proto::outcome::Outcome::Client(id)) => Ok(id),
            other => panic!("unexpected outcome {other:?}"),
        }
    }

    /// Registers a client identity: a command whose effect every test can see.
    pub(super) fn batch(&self) -> Bytes {
        let number = self.clients.fetch_add(1, Ordering::Relaxed);
        let register =
            proto::RegisterClient { nonce: Bytes::from(number.to_be_bytes().repeat(2)), label: String::new() };
        let command = proto::Command { command: Some(proto::command::Command::RegisterClient(register)) };
        let proposal = proto::Proposal { command: Some(command), ..proto::Proposal::default() };
        proto::Batch { proposals: vec![proposal] }.encode_to_vec().into()
    }

    /// Waits until a member has applied what the leader has.
    pub(super) async fn caught_up(&self, id: u64, leader: u64) {
        let index = within(self.member(leader).read_index()).await.unwrap();
        within(self.member(id).wait_applied(index)).await;
    }

    /// The client identities that a member knows.
    pub(super) fn clients_of(&self, id: u64) -> Vec<u64> {
        self.member(id).view().state.clients().collect()
    }
}

pub(super) async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.expect("waited too long")
}
