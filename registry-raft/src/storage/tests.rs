//! What the storage promises, shown on memory, on a simulated disk that fails, and on real files.

mod behaviour;
mod crash;
mod damage;
mod directory;
mod faults;
mod killed;
mod script;

use std::sync::{
    Arc,
    mpsc::{self, Receiver},
};

use bytes::Bytes;

use super::{
    Done, Identity, Log, Opening, Position, Record, RecordKind, Result, Storage, StorageOptions, Vote, Writer,
};

const IDENTITY: Identity = Identity { cluster: 0xC0FFEE, node: 7 };

fn at(index: u64, term: u64) -> Position {
    Position { index, term, leader: 7 }
}

fn record(index: u64, term: u64, payload: impl Into<Vec<u8>>) -> Record {
    Record { position: at(index, term), kind: RecordKind::Normal, payload: Bytes::from(payload.into()) }
}

/// Small sizes, so that a short run rolls, purges and recycles segments.
fn small() -> StorageOptions {
    StorageOptions {
        segment_bytes: 8 << 10,
        allocation_bytes: 4 << 10,
        spare_segments: 1,
        cache_bytes: 256,
        writer: Writer::Inline,
        ..StorageOptions::default()
    }
}

/// A callback and what it was called with.
fn outcome() -> (Done, Receiver<Result<()>>) {
    let (sender, receiver) = mpsc::channel();
    (Box::new(move |result| drop(sender.send(result))), receiver)
}

/// Runs an operation and waits until it is durable.
fn durable(operation: impl FnOnce(Done) -> Result<()>) -> Result<()> {
    let (done, receiver) = outcome();
    operation(done)?;
    receiver.recv_timeout(std::time::Duration::from_secs(30)).expect("the callback is called")
}

fn payloads(log: &Log) -> Vec<(u64, u64, Bytes)> {
    let state = log.state();
    let next = state.last.map_or(state.first, |last| last.index + 1);
    let records =
        if state.first == next { Vec::new() } else { log.read(state.first..next, usize::MAX).expect("readable") };
    records.into_iter().map(|record| (record.position.index, record.position.term, record.payload)).collect()
}

fn snapshot(storage: &Storage, last: Position, data: &[u8]) -> super::SnapshotMeta {
    let meta = super::SnapshotMeta { last: Some(last), membership: Bytes::from("members"), id: format!("{last}") };
    let mut writer = storage.snapshots().begin(meta).expect("begun");
    writer.write(data).expect("written");
    writer.finish().expect("finished")
}
