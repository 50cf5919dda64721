//! W1 to W4, W6, W14: puts and gets of 256 bytes by callers that share some connections.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use registry_api::{Key, ReadLevel};

use super::Path;
use crate::load::{Caller, Scene, timed};
use crate::row::Figures;
use crate::store::{Contract, Store};
use crate::{Outcome, line, raw, same_steps};

/// How long every value is.
pub(crate) const VALUE_LEN: usize = 256;
/// How many keys each caller takes in turn.
const KEYS_PER_CALLER: usize = 16;
/// Members of a cluster, where every one keeps everything.
const MEMBERS: f64 = 3.0;

pub(super) async fn put(scene: &Scene<'_>, path: Path, callers: usize, connections: usize) -> Outcome<Figures> {
    measure(scene, path, callers, connections, Operation::Put).await
}

pub(super) async fn get(scene: &Scene<'_>, path: Path, callers: usize, level: ReadLevel) -> Outcome<Figures> {
    measure(scene, path, callers, 1, Operation::Get(level)).await
}

/// A value of the usual length.
pub(crate) fn value() -> Bytes {
    Bytes::from_static(&[b'v'; VALUE_LEN])
}

/// Adds the bytes on the disk of each member, to those of the values.
pub(super) fn over_payload(figures: Figures) -> Figures {
    let Some(bytes) = figures.named("disk_bytes_per_op") else { return figures };
    let payload = f64::from(u32::try_from(VALUE_LEN).unwrap_or(u32::MAX));
    figures.with("disk_bytes_per_payload", bytes / MEMBERS / payload)
}

#[derive(Clone, Copy)]
enum Operation {
    Put,
    Get(ReadLevel),
}

async fn measure(
    scene: &Scene<'_>,
    path: Path,
    callers: usize,
    connections: usize,
    operation: Operation,
) -> Outcome<Figures> {
    let mut stores = Vec::new();
    for _ in 0..connections {
        stores.push(connect(scene, path).await?);
    }
    let mut all: Vec<Box<dyn Caller>> = Vec::new();
    for (number, store) in (0..callers).zip(stores.iter().cycle()) {
        all.push(Box::new(KeyCaller::prepare(Arc::clone(store), number, operation).await?));
    }
    let figures = scene.run(all).await;
    for store in stores {
        store.close().await;
    }
    figures
}

/// A connection of its own to the servers.
pub(super) async fn connect(scene: &Scene<'_>, path: Path) -> Outcome<Arc<dyn Store>> {
    let store: Option<Arc<dyn Store>> = match path {
        Path::Registry => Some(Arc::new(Contract::new(scene.cluster.connect().await?))),
        Path::Raw => raw::connect(scene.cluster).await?,
        Path::SameSteps => same_steps::connect(scene.cluster).await?,
    };
    store.ok_or_else(|| "no client library below".to_owned())
}

struct KeyCaller {
    store: Arc<dyn Store>,
    keys: Vec<Key>,
    next: usize,
    operation: Operation,
}

impl KeyCaller {
    /// Its keys are there afterwards, so that every call is the same.
    async fn prepare(store: Arc<dyn Store>, number: usize, operation: Operation) -> Outcome<Self> {
        let keys = (0..KEYS_PER_CALLER).map(|key| format!("/bench/keys/{number}/{key}").parse().map_err(line));
        let keys: Vec<Key> = keys.collect::<Outcome<_>>()?;
        futures::future::try_join_all(keys.iter().map(|key| store.put(key, value()))).await?;
        Ok(Self { store, keys, next: 0, operation })
    }
}

#[async_trait]
impl Caller for KeyCaller {
    async fn call(&mut self) -> Outcome<Duration> {
        self.next = (self.next + 1) % self.keys.len();
        let key = self.keys.get(self.next).ok_or("no keys")?;
        match self.operation {
            Operation::Put => timed(self.store.put(key, value())).await,
            Operation::Get(level) => timed(self.store.get(key, level)).await,
        }
    }
}
