//! W8 and W9: locks that nobody else wants, and one that everybody wants.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use registry_api::{LockName, RegistryClient};

use super::Path;
use super::keys::connect;
use crate::load::{Caller, Scene, timed};
use crate::row::Figures;
use crate::store::{Contract, Store};
use crate::{Outcome, line};

/// Callers with a lock and a session each: one operation takes it and gives it back.
pub(super) async fn uncontended(scene: &Scene<'_>, path: Path, callers: usize) -> Outcome<Figures> {
    let sessions = Sessions::connect(scene, path, callers).await?;
    let mut all: Vec<Box<dyn Caller>> = Vec::new();
    for (number, store) in sessions.stores.iter().enumerate() {
        let name = format!("/bench/lock/{number}").parse().map_err(line)?;
        all.push(Box::new(Alone { store: Arc::clone(store), name }));
    }
    let figures = scene.run(all).await;
    sessions.close().await;
    figures
}

/// Callers that all want the same lock: the latency is from the call that gives it back to the next that has it.
pub(super) async fn contended(scene: &Scene<'_>, path: Path, contenders: usize) -> Outcome<Figures> {
    let released = Arc::new(Mutex::new(None));
    let name: LockName = "/bench/lock/shared".parse().map_err(line)?;
    let sessions = Sessions::connect(scene, path, contenders).await?;
    let contender = |store: &Arc<dyn Store>| -> Box<dyn Caller> {
        Box::new(Contender { store: Arc::clone(store), name: name.clone(), released: Arc::clone(&released) })
    };
    let figures = scene.run(sessions.stores.iter().map(contender).collect()).await;
    sessions.close().await;
    figures
}

/// Sessions: of the contract over one connection, of the libraries with a connection each.
struct Sessions {
    stores: Vec<Arc<dyn Store>>,
    shared: Option<RegistryClient>,
}

impl Sessions {
    async fn connect(scene: &Scene<'_>, path: Path, count: usize) -> Outcome<Self> {
        let mut stores: Vec<Arc<dyn Store>> = Vec::new();
        if path == Path::Registry {
            let client = scene.cluster.connect().await?;
            stores.extend((0..count).map(|_| Arc::new(Contract::sharing(client.clone())) as Arc<dyn Store>));
            return Ok(Self { stores, shared: Some(client) });
        }
        for _ in 0..count {
            stores.push(connect(scene, path).await?);
        }
        Ok(Self { stores, shared: None })
    }

    async fn close(self) {
        futures::future::join_all(self.stores.iter().map(|store| store.close())).await;
        if let Some(client) = self.shared {
            let _ = client.close().await;
        }
    }
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
