//! openraft's state machine: decodes committed batches, applies them to ours, answers whoever proposed them.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use prost::Message;
use registry_api::Revision;

use super::codec;
use super::log_store::{io_error, position};
use super::types::{LogId, Outcomes, Raft, Snapshot, SnapshotMeta, StoredMembership};
use super::view::{ApplyObserver, Published};
use crate::proto;
use crate::state_machine::{Applied, SnapshotEncoder, StateMachine, UnknownCommand};
use crate::storage;

/// So many entries are applied before the position is told and their proposers are answered.
const ENTRIES_PER_PUBLICATION: usize = 64;
/// A snapshot rests so many times as long as its last piece took: it takes a quarter of a core and of the disk at most,
/// however large the state is, and the rest goes on serving.
const SNAPSHOT_REST: u32 = 3;

/// The state machine as openraft sees it.
pub(crate) struct StateMachineAdapter {
    last: Option<LogId>,
    membership: StoredMembership,
    snapshots: storage::SnapshotStore,
    /// The state itself.
    published: Arc<Published>,
    observer: Arc<dyn ApplyObserver>,
}

impl StateMachineAdapter {
    /// The state of the newest snapshot in storage, or the empty one; the log after it is applied by openraft.
    pub(crate) fn load(
        snapshots: storage::SnapshotStore,
        published: Arc<Published>,
        observer: Arc<dyn ApplyObserver>,
    ) -> io::Result<Self> {
        let mut adapter = Self { last: None, membership: StoredMembership::default(), snapshots, published, observer };
        if let Some(mut reader) = adapter.snapshots.read_latest().map_err(io_error)? {
            let meta = meta_of(reader.meta())?;
            let bytes = reader.read_all().map_err(io_error)?;
            adapter.replace(&meta, &bytes)?;
        }
        Ok(adapter)
    }

    fn replace(&mut self, meta: &SnapshotMeta, bytes: &[u8]) -> io::Result<()> {
        let state = StateMachine::decode_snapshot(bytes).map_err(invalid_data)?;
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        if let Some(last) = self.last {
            self.published.replace(last.index, state);
            self.observer.replaced(last.index, &self.published.view().state);
            self.published.reached(last.index, **last.committed_leader_id());
        }
        Ok(())
    }

    fn apply_one(
        &mut self,
        id: LogId,
        payload: EntryPayload<super::types::Command, u64, super::types::Member>,
    ) -> io::Result<Outcomes> {
        self.last = Some(id);
        let (applied, revision) = match payload {
            EntryPayload::Normal(command) => {
                let batch = proto::Batch::decode(command.0).map_err(invalid_data)?;
                self.apply_batch(id.index, &batch).map_err(unknown_command)?
            }
            EntryPayload::Blank => self.apply_nothing(id.index),
            EntryPayload::Membership(config) => {
                self.membership = StoredMembership::new(Some(id), config);
                self.apply_nothing(id.index)
            }
        };
        self.observer.applied(id.index, &applied.changes, revision);
        Ok(Outcomes(applied.outcomes))
    }

    /// Changes the state in place where that takes a moment; otherwise readers keep what they have until it is done.
    fn apply_batch(&self, index: u64, batch: &proto::Batch) -> Result<(Applied, Revision), UnknownCommand> {
        if StateMachine::is_brief(batch) {
            return self.published.change(index, |state| Ok((state.apply(batch)?, state.revision())));
        }
        let mut state = StateMachine::clone(&self.published.view().state);
        let applied = state.apply(batch)?;
        let revision = state.revision();
        self.published.replace(index, state);
        Ok((applied, revision))
    }

    fn apply_nothing(&self, index: u64) -> (Applied, Revision) {
        (Applied::default(), self.published.change(index, |state| state.revision()))
    }

    fn publish(&self, answers: &mut Vec<(ApplyResponder<Raft>, Outcomes)>) {
        if let Some(last) = self.last {
            self.published.reached(last.index, **last.committed_leader_id());
        }
        for (responder, outcomes) in answers.drain(..) {
            responder.send(outcomes);
        }
    }
}

impl RaftStateMachine<Raft> for StateMachineAdapter {
    type SnapshotData = Bytes;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Raft>, io::Error>> + Unpin + OptionalSend,
    {
        let mut answers = Vec::new();
        let mut unpublished = 0_usize;
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let outcomes = self.apply_one(entry.log_id, entry.payload)?;
            answers.extend(responder.map(|responder| (responder, outcomes)));
            unpublished = unpublished.saturating_add(1);
            if unpublished >= ENTRIES_PER_PUBLICATION {
                self.publish(&mut answers);
                unpublished = 0;
            }
        }
        self.publish(&mut answers);
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Self::SnapshotBuilder> {
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        SnapshotBuilder {
            state: self.published.view().state,
            meta: SnapshotMeta { last_log_id: self.last, last_membership: self.membership.clone() },
            snapshots: self.snapshots.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> Result<(), io::Error> {
        // Decoded before it is stored: bytes that cannot be read never take the place of a snapshot that can.
        let decoded = snapshot.clone();
        blocking(move || StateMachine::decode_snapshot(&decoded).map_err(invalid_data)).await?;
        let (store, stored, bytes) = (self.snapshots.clone(), meta.clone(), snapshot.clone());
        blocking(move || {
            let mut writer = begin_snapshot(&store, &stored)?;
            writer.write(&bytes).map_err(io_error)?;
            writer.finish().map_err(io_error)
        })
        .await?;
        self.replace(meta, &snapshot)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let store = self.snapshots.clone();
        blocking(move || read_snapshot(&store)).await
    }
}

/// Writes the state as it was when the builder was made; the state machine goes on meanwhile. Dropped before the end, it
/// leaves nothing.
#[derive(Debug)]
pub(crate) struct SnapshotBuilder {
    state: Arc<StateMachine>,
    meta: SnapshotMeta,
    snapshots: storage::SnapshotStore,
}

impl RaftSnapshotBuilder<Raft> for SnapshotBuilder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let (store, meta, encoder) = (self.snapshots.clone(), self.meta.clone(), self.state.encode_snapshot());
        let mut unfinished = Some((blocking(move || begin_snapshot(&store, &meta)).await?, encoder));
        while let Some((writer, encoder)) = unfinished {
            let begun = Instant::now();
            unfinished = blocking(move || write_piece(writer, encoder)).await?;
            tokio::time::sleep(begun.elapsed().saturating_mul(SNAPSHOT_REST)).await;
        }
        // openraft asks for the data with `get_current_snapshot`, so the copy in memory is not kept.
        Ok(Snapshot { meta: self.meta.clone(), snapshot: Bytes::new() })
    }
}

fn begin_snapshot(store: &storage::SnapshotStore, meta: &SnapshotMeta) -> io::Result<storage::SnapshotWriter> {
    let last = meta.last_log_id.as_ref().map(position);
    let id = last.map_or_else(|| "empty".to_owned(), |last| format!("{}-{}", last.term, last.index));
    let membership = codec::snapshot_description(meta).encode_to_vec().into();
    store.begin(storage::SnapshotMeta { last, membership, id }).map_err(io_error)
}

/// Brings the next piece to the disk; after the last one the snapshot becomes the newest, and nothing is left to do.
fn write_piece(
    mut writer: storage::SnapshotWriter,
    mut encoder: SnapshotEncoder,
) -> io::Result<Option<(storage::SnapshotWriter, SnapshotEncoder)>> {
    let Some(piece) = encoder.next() else {
        writer.finish().map_err(io_error)?;
        return Ok(None);
    };
    writer.write(&piece).map_err(io_error)?;
    writer.flush().map_err(io_error)?;
    Ok(Some((writer, encoder)))
}

fn read_snapshot(store: &storage::SnapshotStore) -> io::Result<Option<Snapshot>> {
    let Some(mut reader) = store.read_latest().map_err(io_error)? else {
        return Ok(None);
    };
    let meta = meta_of(reader.meta())?;
    let snapshot = reader.read_all().map_err(io_error)?;
    Ok(Some(Snapshot { meta, snapshot }))
}

fn meta_of(stored: &storage::SnapshotMeta) -> io::Result<SnapshotMeta> {
    let description = proto::SnapshotDescription::decode(stored.membership.clone()).map_err(invalid_data)?;
    Ok(codec::snapshot_meta_of(description)?)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn invalid_data(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn unknown_command(error: UnknownCommand) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, error)
}
