//! W8 and W9: locks that nobody else wants, and one that everybody wants.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use registry_api::{LockName, LockWait, Session};

use super::Path;
use super::keys::connect;
use crate::load::{Caller, Scene, timed};
use crate::row::Figures;
use crate::store::{Contract, Store};
use crate::{Outcome, line};

/// Callers with a lock and a session each: one operation takes it and gives it back.
pub(super) async fn uncontended(scene: &Scene<'_>, path: Path, callers: usize) -> Outcome<Figures> {
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    if path == Path::Registry {
        let client = scene.cluster.connect().await?;
        stores.extend((0..callers).map(|_| Arc::new(Contract::new(client.clone())) as Arc<dyn Store>));
    } else {
        for _ in 0..callers {
            stores.push(connect(scene, path).await?);
        }
    }
    let mut all: Vec<Box<dyn Caller>> = Vec::new();
    for (number, store) in stores.iter().enumerate() {
        let name = format!("/bench/lock/{number}").parse().map_err(line)?;
        all.push(Box::new(Alone { store: Arc::clone(store), name }));
    }
    let figures = scene.run(all).await;
    for store in stores {
        store.close().await;
    }
    figures
}

/// Callers that all want the same lock: the latency is from the call that gives it back to the next that has it.
pub(super) async fn contended(scene: &Scene<'_>, contenders: usize) -> Outcome<Figures> {
    let released = Arc::new(Mutex::new(None));
    let name: LockName = "/bench/lock/shared".parse().map_err(line)?;
    let client = scene.cluster.connect().await?;
    let (mut sessions, mut all) = (Vec::new(), Vec::<Box<dyn Caller>>::new());
    for _ in 0..contenders {
        let session = client.open_session(client.session_options()).await.map_err(line)?;
        sessions.push(session.clone());
        all.push(Box::new(Contender { session, name: name.clone(), released: Arc::clone(&released) }));
    }
    let figures = scene.run(all).await;
    for session in sessions {
        let _ = session.close().await;
    }
    let _ = client.close().await;
    figures
}

struct Alone {
    store: Arc<dyn Store>,
    name: LockName,
}

#[async_trait]
impl Caller for Alone {
    async fn call(&mut self) -> Outcome<Duration> {
        timed(self.store.hold(&self.name)).await
    }
}

struct Contender {
    session: Session,
    name: LockName,
    /// When the last holder began to give the lock back.
    released: Arc<Mutex<Option<Instant>>>,
}

#[async_trait]
impl Caller for Contender {
    async fn call(&mut self) -> Outcome<Duration> {
        let guard = self.session.lock(&self.name, LockWait::Forever).await.map_err(line)?;
        let now = Instant::now();
        let before = self.released.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        guard.release().await.map_err(line)?;
        Ok(before.map_or(Duration::ZERO, |before| now.duration_since(before)))
    }
}
