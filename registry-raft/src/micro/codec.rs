//! Scenarios of what is sent and stored: batches of proposals, and the requests that replicate them.

use std::hint::black_box;

use bytes::Bytes;
use prost::Message;

use super::{Broken, Scenario, message};
use crate::consensus::{append_request, append_request_of};
use crate::proto::{self, Batch};

/// Encodings in one round.
const ROUND: u64 = 16;

/// A batch of puts is encoded by who proposes it, and decoded by who applies it.
#[derive(Debug)]
pub struct BatchCodec(Batch);

impl BatchCodec {
    /// A batch of so many puts.
    #[must_use]
    pub fn new(puts: u64) -> Self {
        Self(message::batch((0..puts).map(|number| message::put(message::key(number), 0))))
    }
}

impl Scenario for BatchCodec {
    fn operations(&self) -> u64 {
        ROUND
    }

    fn run(&mut self) -> Result<(), Broken> {
        for _ in 0..ROUND {
            let decoded = Batch::decode(Bytes::from(self.0.encode_to_vec())).map_err(Broken::new)?;
            if black_box(decoded).proposals.len() != self.0.proposals.len() {
                return Err(Broken::new("the batch is another one"));
            }
        }
        Ok(())
    }
}

/// A request to append entries is decoded from the wire into the types of consensus, and encoded again from them.
#[derive(Debug)]
pub struct AppendCodec(Bytes);

impl AppendCodec {
    /// A request with so many entries, each a batch of one put.
    #[must_use]
    pub fn new(entries: u64) -> Self {
        let payload = Bytes::from(message::batch([message::put(message::key(0), 0)]).encode_to_vec());
        let at = |index| Some(proto::LogPosition { term: 3, index });
        let entries = (1..=entries).map(|index| proto::LogEntry {
            position: at(index),
            kind: proto::LogEntryKind::Batch.into(),
            payload: payload.clone(),
        });
        let request = proto::AppendRequest {
            leader: Some(proto::Ballot { term: 3, node: 1, committed: true }),
            previous: at(0),
            entries: entries.collect(),
            committed: at(0),
        };
        Self(request.encode_to_vec().into())
    }
}

impl Scenario for AppendCodec {
    fn operations(&self) -> u64 {
        ROUND
    }

    fn run(&mut self) -> Result<(), Broken> {
        for _ in 0..ROUND {
            let received = proto::AppendRequest::decode(self.0.clone()).map_err(Broken::new)?;
            let request = append_request_of(received).map_err(Broken::new)?;
            if black_box(append_request(&request).encode_to_vec()).len() != self.0.len() {
                return Err(Broken::new("the request is another one"));
            }
        }
        Ok(())
    }
}
