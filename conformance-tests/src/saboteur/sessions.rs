//! Saboteurs of sessions and what belongs to them.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use registry_api::{
    DeleteOptions, ErrorKind, ForeignOwner, Heartbeat, Key, Lifetime, ListOptions, Precondition, PutOptions, Registry,
    Result, Revision, SESSION_TTL_MIN, Scope, SessionGrant, SessionId, SessionOptions,
};

use super::Saboteur;

/// Answers the heartbeat of any session, living or not.
#[derive(Debug)]
pub(super) struct AnswersEveryHeartbeat;

#[async_trait]
impl Saboteur for AnswersEveryHeartbeat {
    async fn heartbeat(&self, inner: &Arc<dyn Registry>, session: SessionId) -> Result<Heartbeat> {
        match inner.heartbeat(session).await {
            Err(error) if *error.kind() == ErrorKind::SessionEnded => Ok(Heartbeat { ttl: SESSION_TTL_MIN }),
            result => result,
        }
    }
}

/// Gives every second session the id of the one before.
#[derive(Debug, Default)]
pub(super) struct GivesIdsAgain(Mutex<Option<SessionGrant>>);

#[async_trait]
impl Saboteur for GivesIdsAgain {
    async fn open_session(&self, inner: &Arc<dyn Registry>, options: SessionOptions) -> Result<SessionGrant> {
        let grant = inner.open_session(options).await?;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.take() {
            Some(last) => Ok(last),
            None => Ok(last.insert(grant).clone()),
        }
    }
}

/// Leaves everything of a closed session to its ttl.
#[derive(Debug)]
pub(super) struct ClosesNothing;

#[async_trait]
impl Saboteur for ClosesNothing {
    async fn close_session(&self, _inner: &Arc<dyn Registry>, _session: SessionId) -> Result<()> {
        Ok(())
    }
}

/// Ends the keys of a session one after the other, as if each had a lease of its own.
#[derive(Debug)]
pub(super) struct LeasesEachKey;

#[async_trait]
impl Saboteur for LeasesEachKey {
    async fn close_session(&self, inner: &Arc<dyn Registry>, session: SessionId) -> Result<()> {
        let everything = inner.list(&Scope::All, ListOptions::default()).await?;
        for entry in everything.entries().filter(|entry| entry.owner == Some(session)) {
            inner.delete(&Scope::Key(entry.key.clone()), DeleteOptions::default()).await?;
        }
        inner.close_session(session).await
    }
}

/// Puts an ephemeral key by deleting and creating it.
#[derive(Debug)]
pub(super) struct RegistersAgainByDeleting;

#[async_trait]
impl Saboteur for RegistersAgainByDeleting {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        if let Lifetime::Ephemeral(_) = options.lifetime {
            inner.delete(&Scope::Key(key.clone()), DeleteOptions::default()).await?;
        }
        let PutOptions { lifetime, .. } = options;
        let again = PutOptions { lifetime, precondition: Precondition::None, foreign_owner: ForeignOwner::Refuse };
        inner.put(key, value, again).await
    }
}

/// Opens sessions with another ttl than it says.
#[derive(Debug)]
pub(super) enum MisjudgesTtl {
    /// They end after half of it.
    TooShort,
    /// They end after four times as long.
    TooLong,
}

#[async_trait]
impl Saboteur for MisjudgesTtl {
    async fn open_session(&self, inner: &Arc<dyn Registry>, options: SessionOptions) -> Result<SessionGrant> {
        let said = options.ttl;
        let ttl = match self {
            Self::TooShort => said / 2,
            Self::TooLong => said * 4,
        };
        let grant = inner.open_session(SessionOptions { ttl, ..options }).await?;
        Ok(SessionGrant { ttl: said, ..grant })
    }
}

/// Tells the owner of twice the time that its session has.
#[derive(Debug)]
pub(super) struct PromisesTooMuch;

#[async_trait]
impl Saboteur for PromisesTooMuch {
    async fn open_session(&self, inner: &Arc<dyn Registry>, options: SessionOptions) -> Result<SessionGrant> {
        let grant = inner.open_session(options).await?;
        Ok(SessionGrant { ttl: grant.ttl * 2, ..grant })
    }

    async fn heartbeat(&self, inner: &Arc<dyn Registry>, session: SessionId) -> Result<Heartbeat> {
        let heartbeat = inner.heartbeat(session).await?;
        Ok(Heartbeat { ttl: heartbeat.ttl * 2 })
    }
}

/// Writes for sessions that have ended.
#[derive(Debug)]
pub(super) struct WritesForTheDead;

#[async_trait]
impl Saboteur for WritesForTheDead {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        match inner.put(key, value.clone(), options.clone()).await {
            Err(error) if *error.kind() == ErrorKind::SessionEnded => {
                inner.put(key, value, PutOptions { lifetime: Lifetime::Persistent, ..options }).await
            }
            result => result,
        }
    }
}

/// Writes with every heartbeat: a change for every subscriber.
#[derive(Debug, Default)]
pub(super) struct WritesHeartbeats(Mutex<Option<(Key, Bytes)>>);

#[async_trait]
impl Saboteur for WritesHeartbeats {
    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((key.clone(), value.clone()));
        inner.put(key, value, options).await
    }

    async fn heartbeat(&self, inner: &Arc<dyn Registry>, session: SessionId) -> Result<Heartbeat> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((key, value)) = last {
            inner.put(&key, value, PutOptions::ephemeral(session)).await?;
        }
        inner.heartbeat(session).await
    }
}
