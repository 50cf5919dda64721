//! W8 and W9: locks that nobody else wants, and one that everybody wants.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use registry_api::{LockName, LockWait, Session};

use crate::load::{Caller, Scene, timed};
use crate::row::Figures;
use crate::{Outcome, line};

/// Callers with a lock each: one operation takes it and gives it back.
pub(super) async fn uncontended(scene: &Scene<'_>, callers: usize) -> Outcome<Figures> {
    measure(scene, callers, |number, session| {
        let name = format!("/bench/lock/{number}").parse().map_err(line)?;
        Ok(Box::new(Alone { session, name }))
    })
    .await
}

/// Callers that all want the same lock: the latency is from the call that gives it back to the next that has it.
pub(super) async fn contended(scene: &Scene<'_>, contenders: usize) -> Outcome<Figures> {
    let released = Arc::new(Mutex::new(None));
    measure(scene, contenders, |_, session| {
        let name = "/bench/lock/shared".parse().map_err(line)?;
        Ok(Box::new(Contender { session, name, released: Arc::clone(&released) }))
    })
    .await
}

/// Every caller has a session of its own.
async fn measure(
    scene: &Scene<'_>,
    callers: usize,
    caller: impl Fn(usize, Session) -> Outcome<Box<dyn Caller>>,
) -> Outcome<Figures> {
    let client = scene.cluster.connect().await?;
    let (mut sessions, mut all) = (Vec::new(), Vec::new());
    for number in 0..callers {
        let session = client.open_session(client.session_options()).await.map_err(line)?;
        sessions.push(session.clone());
        all.push(caller(number, session)?);
    }
    let figures = scene.run(all).await;
    for session in sessions {
        let _ = session.close().await;
    }
    let _ = client.close().await;
    figures
}

struct Alone {
    session: Session,
    name: LockName,
}

#[async_trait]
impl Caller for Alone {
    async fn call(&mut self) -> Outcome<Duration> {
        timed(async {
            let guard = self.session.lock(&self.name, LockWait::Forever).await.map_err(line)?;
            guard.release().await.map_err(line)
        })
        .await
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
