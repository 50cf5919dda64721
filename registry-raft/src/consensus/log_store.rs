//! openraft's log, kept in our storage: every record is encoded here, and every callback comes after its flush.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::alias::VoteOf;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::vote::RaftLeaderId;
use openraft::{OptionalSend, RaftLogReader};
use prost::Message;
use tokio::sync::oneshot;

use super::codec;
use super::compaction::AppendMeter;
use super::types::{Command, Entry, LeaderId, LogId, Payload, Raft, Vote, log_id};
use crate::proto;
use crate::storage::{self, Log, Position, Record, RecordKind, StorageError};

/// The most bytes of entries that are read, and sent to a peer, at once; a single entry may be larger.
const READ_BYTES_MAX: usize = 4 << 20;

/// The log as openraft sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LogStore {
    log: Log,
    meter: Arc<AppendMeter>,
}

impl LogStore {
    pub(crate) fn new(log: Log, meter: Arc<AppendMeter>) -> Self {
        Self { log, meter }
    }

    /// Runs an operation of the log and waits until it is durable.
    async fn durable<F>(&self, operation: F) -> io::Result<()>
    where
        F: FnOnce(&Log, storage::Done) -> storage::Result<()>,
    {
        let (sender, receiver) = oneshot::channel();
        let done: storage::Done = Box::new(move |result| {
            // Nobody waits any more when the core is gone; the result then has no reader.
            drop(sender.send(result));
        });
        operation(&self.log, done).map_err(io_error)?;
        match receiver.await {
            Ok(result) => result.map_err(io_error),
            Err(_) => Err(io_error(StorageError::Closed)),
        }
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        if from >= to {
            return Ok(Vec::new());
        }
        self.log.read(from..to, bytes_max).map_err(io_error)?.into_iter().map(entry_of).collect()
    }
}

impl RaftLogReader<Raft> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let state = self.log.state();
        let next = state.last.map_or(0, |last| last.index.saturating_add(1));
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        self.read(from.max(state.first), to.min(next), usize::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<Raft>>, io::Error> {
        Ok(self.log.vote().map(vote_of))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_BYTES_MAX)
    }
}

impl RaftLogStorage<Raft> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Raft>, io::Error> {
        let state = self.log.state();
        Ok(LogState {
            last_purged_log_id: state.purged.map(log_id_at),
            last_log_id: state.last.or(state.purged).map(log_id_at),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Raft>) -> Result<(), io::Error> {
        let vote =
            storage::Vote { term: vote.leader_id.term, node: vote.leader_id.voted_for, committed: vote.committed };
        self.durable(|log, done| log.save_vote(vote, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.log.save_committed(committed.as_ref().map(position)).map_err(io_error)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log.committed().map(log_id_at))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Raft>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries.into_iter().map(record).collect::<Vec<_>>();
        if records.is_empty() {
            callback.io_completed(Ok(()));
            return Ok(());
        }
        self.meter.add(records.iter().map(|record| record.payload.len() as u64).sum());
        let done: storage::Done = Box::new(move |result| callback.io_completed(result.map_err(io_error)));
        self.log.append(records, done).map_err(io_error)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let last = last.map(|last| position(&last));
        self.durable(|log, done| log.truncate_after(last, done)).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let upto = position(&upto);
        self.durable(|log, done| log.purge_to(upto, done)).await
    }
}

pub(crate) fn io_error(error: StorageError) -> io::Error {
    io::Error::other(error)
}

pub(crate) fn position(id: &LogId) -> Position {
    Position { index: id.index, term: **id.committed_leader_id(), leader: 0 }
}

pub(crate) fn log_id_at(position: Position) -> LogId {
    log_id(position.term, position.index)
}

fn vote_of(vote: storage::Vote) -> Vote {
    Vote { leader_id: LeaderId::new(vote.term, vote.node), committed: vote.committed }
}

fn record(entry: Entry) -> Record {
    let position = position(&entry.log_id);
    let (kind, payload) = match entry.payload {
        Payload::Blank => (RecordKind::Blank, bytes::Bytes::new()),
        Payload::Normal(command) => (RecordKind::Normal, command.0),
        Payload::Membership(config) => (RecordKind::Membership, codec::membership(&config).encode_to_vec().into()),
    };
    Record { position, kind, payload }
}

fn entry_of(record: Record) -> io::Result<Entry> {
    let payload = match record.kind {
        RecordKind::Blank => Payload::Blank,
        RecordKind::Normal => Payload::Normal(Command(record.payload)),
        RecordKind::Membership => {
            let config = proto::MembershipConfig::decode(record.payload)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            Payload::Membership(codec::membership_of(config)?)
        }
    };
    Ok(Entry::new(log_id_at(record.position), payload))
}
