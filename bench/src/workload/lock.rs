//! W8 and W9: locks that nobody else wants, and one that everybody wants.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use registry_api::LockName;

use super::Path;
use super::keys::connect;
use crate::load::{Caller, Scene, timed};
use crate::row::Figures;
use crate::store::{Contract, Store};
use crate::{Outcome, line};

/// Callers with a lock and a session each: one operation takes it and gives it back.
pub(super) async fn uncontended(scene: &Scene<'_>, path: Path, callers: usize) -> Outcome<Figures> {
    let stores = sessions(scene, path, callers).await?;
    let mut all: Vec<Box<dyn Caller>> = Vec::new();
    for (number, store) in stores.iter().enumerate() {
        let name = format!("/bench/lock/{number}").parse().map_err(line)?;
        all.push(Box::new(Alone { store: Arc::clone(store), name }));
    }
    run(scene, all, stores).await
}

/// Callers that all want the same lock: the latency is from the call that gives it back to the next that has it.
pub(super) async fn contended(scene: &Scene<'_>, path: Path, contenders: usize) -> Outcome<Figures> {
    let released = Arc::new(Mutex::new(None));
    let name: LockName = "/bench/lock/shared".parse().map_err(line)?;
    let stores = sessions(scene, path, contenders).await?;
    let contender = |store: &Arc<dyn Store>| -> Box<dyn Caller> {
        Box::new(Contender { store: Arc::clone(store), name: name.clone(), released: Arc::clone(&released) })
    };
    let all = stores.iter().map(contender).collect();
    run(scene, all, stores).await
}

/// So many sessions: of the contract over one connection, of the libraries with a connection each.
async fn sessions(scene: &Scene<'_>, path: Path, count: usize) -> Outcome<Vec<Arc<dyn Store>>> {
    if path == Path::Registry {
        let client = scene.cluster.connect().await?;
        return Ok((0..count).map(|_| Arc::new(Contract::new(client.clone())) as Arc<dyn Store>).collect());
    }
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(connect(scene, path).await?);
    }
    Ok(stores)
}

async fn run(scene: &Scene<'_>, callers: Vec<Box<dyn Caller>>, stores: Vec<Arc<dyn Store>>) -> Outcome<Figures> {
    let figures = scene.run(callers).await;
    for store in stores {
        store.close().await;
    }
    figures
}

struct Alone {
    store: Arc<dyn Store>,
    name: LockName,
}

#[async_trait]
impl Caller for Alone {
    async fn call(&mut self) -> Outcome<Duration> {
        timed(self.store.hold(&self.name, &|| ())).await
    }
}

struct Contender {
    store: Arc<dyn Store>,
    name: LockName,
    /// When the last holder began to give the lock back.
    released: Arc<Mutex<Option<Instant>>>,
}

#[async_trait]
impl Caller for Contender {
    async fn call(&mut self) -> Outcome<Duration> {
        let waited = Mutex::new(Duration::ZERO);
        let held = || {
            let now = Instant::now();
            let before = self.released.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
            let latency = before.map_or(Duration::ZERO, |before| now.duration_since(before));
            *waited.lock().unwrap_or_else(PoisonError::into_inner) = latency;
        };
        self.store.hold(&self.name, &held).await?;
        Ok(waited.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}
