//! Scenarios of the log: appending to it, and recovering it.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use prost::Message;

use super::{Broken, Scenario, message};
use crate::storage::{
    Done, Identity, MemoryDir, Opening, Position, Record, RecordKind, Result as Stored, Storage, StorageOptions, Writer,
};

/// Appends in one round.
const ROUND: u64 = 16;
/// Records of one append while a log is set up.
const SET_UP_LEN: u64 = 256;
const IDENTITY: Identity = Identity { cluster: 1, node: 1 };

/// Where a log is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In memory: what it costs without any disk.
    Memory,
    /// In this directory, which must not exist, with the options of every member.
    Directory(PathBuf),
}

impl Place {
    /// What opens it, again and again.
    fn opener(self) -> Box<dyn Fn() -> Stored<Storage>> {
        match self {
            Self::Memory => {
                let io = Arc::new(MemoryDir::default());
                let options = StorageOptions {
                    segment_bytes: 1 << 20,
                    allocation_bytes: 64 << 10,
                    cache_bytes: 1 << 20,
                    writer: Writer::Inline,
                    ..StorageOptions::default()
                };
                Box::new(move || Storage::open_on(io.clone(), IDENTITY, Opening::CreateOrOpen, options.clone()))
            }
            Self::Directory(path) => {
                Box::new(move || Storage::open(&path, IDENTITY, Opening::CreateOrOpen, StorageOptions::default()))
            }
        }
    }
}

/// Records are appended, and are durable before the next ones are.
#[derive(Debug)]
pub struct Append {
    storage: Storage,
    payload: Bytes,
    /// Records in one append.
    len: u64,
    /// Records in the log before each round.
    length: u64,
    next: u64,
    round: Vec<Vec<Record>>,
}

impl Append {
    /// So many records, each a batch of one put, to a log that holds `length` of them.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    pub fn new(place: Place, len: u64, length: u64) -> Result<Self, Broken> {
        let storage = place.opener()().map_err(Broken::new)?;
        let (payload, next) = (payload(), fill(&storage, length)?);
        Ok(Self { storage, payload, len, length, next, round: Vec::new() })
    }
}

impl Scenario for Append {
    fn operations(&self) -> u64 {
        ROUND
    }

    fn prepare(&mut self) -> Result<(), Broken> {
        if let Some(last) = self.next.checked_sub(self.length + 1) {
            durable(|done| self.storage.log().purge_to(at(last), done))?;
        }
        for _ in 0..ROUND {
            let indexes = self.next..self.next + self.len;
            self.next = indexes.end;
            self.round.push(indexes.map(|index| record(index, &self.payload)).collect());
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), Broken> {
        for records in self.round.drain(..) {
            durable(|done| self.storage.log().append(records, done))?;
        }
        Ok(())
    }
}

/// A log that was closed in order is opened.
pub struct Recover {
    open: Box<dyn Fn() -> Stored<Storage>>,
    records: u64,
}

impl Recover {
    /// A log of so many records, each a batch of one put.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    pub fn new(place: Place, records: u64) -> Result<Self, Broken> {
        let open = place.opener();
        let storage = open().map_err(Broken::new)?;
        fill(&storage, records)?;
        storage.close().map_err(Broken::new)?;
        Ok(Self { open, records })
    }
}

impl Scenario for Recover {
    fn operations(&self) -> u64 {
        1
    }

    fn run(&mut self) -> Result<(), Broken> {
        let storage = (self.open)().map_err(Broken::new)?;
        match storage.log().state().last {
            Some(last) if last.index + 1 == self.records => Ok(()),
            last => Err(Broken::new(format!("the log ends with {last:?}"))),
        }
    }
}

impl std::fmt::Debug for Recover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Recover").field("records", &self.records).finish_non_exhaustive()
    }
}

/// Appends so many records to an empty log; returns the next index.
fn fill(storage: &Storage, records: u64) -> Result<u64, Broken> {
    let payload = payload();
    let mut next = 0;
    while next < records {
        let indexes = next..records.min(next + SET_UP_LEN);
        next = indexes.end;
        let records = indexes.map(|index| record(index, &payload)).collect();
        durable(|done| storage.log().append(records, done))?;
    }
    Ok(next)
}

fn payload() -> Bytes {
    message::batch([message::put(message::key(0), 0)]).encode_to_vec().into()
}

fn at(index: u64) -> Position {
    Position { index, term: 1, leader: 0 }
}

fn record(index: u64, payload: &Bytes) -> Record {
    Record { position: at(index), kind: RecordKind::Normal, payload: payload.clone() }
}

/// Runs an operation and waits until it is durable.
fn durable(operation: impl FnOnce(Done) -> Stored<()>) -> Result<(), Broken> {
    let (sender, receiver) = mpsc::channel();
    operation(Box::new(move |result| drop(sender.send(result)))).map_err(Broken::new)?;
    receiver.recv().map_err(Broken::new)?.map_err(Broken::new)
}
