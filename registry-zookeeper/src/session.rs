//! Sessions: each is a ZooKeeper session with a connection of its own.
//!
//! The client library pings by itself, so a connection says nothing about whoever asked for the session. What keeps a
//! session alive is [`heartbeat`](registry_api::Registry::heartbeat); one that was silent for its ttl is ended here.

mod close;
mod keeper;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use registry_api::{
    Heartbeat, LockGrant, SESSION_LABEL_LEN_MAX, SESSION_TTL_MAX, SESSION_TTL_MIN, SessionGrant, SessionId,
    SessionOptions,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use zookeeper_client as zk;

use crate::call::{answer, connected};
use crate::connect::Ending;
use crate::error::{Failure, Request};
use crate::inner::Inner;
use crate::node;

/// The most sessions of one registry: each is a connection.
const SESSIONS_MAX: usize = 10_000;

/// A session that was opened by this registry and has not ended.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) ttl: Duration,
    /// Cancelled when it ends, before the servers are told.
    pub(crate) ended: CancellationToken,
    client: Mutex<Option<zk::Client>>,
    /// When the last heartbeat was answered.
    heard: Mutex<Instant>,
    /// The nodes of the locks that were granted to it, until they are released.
    places: Mutex<HashMap<LockGrant, String>>,
}

impl Session {
    fn new(id: SessionId, client: zk::Client) -> Self {
        Self {
            id,
            ttl: client.session_timeout(),
            ended: CancellationToken::new(),
            client: Mutex::new(Some(client)),
            heard: Mutex::new(Instant::now()),
            places: Mutex::default(),
        }
    }

    /// The client as soon as it is connected.
    pub(crate) async fn client(&self, deadline: Instant) -> Result<zk::Client, Failure> {
        let client = self.client_handle().ok_or_else(|| Failure::session_ended(self.id))?;
        match connected(&client, deadline).await {
            Err(_unreachable) if client.state().is_terminated() => Err(Failure::session_ended(self.id)),
            Err(failure) => Err(failure),
            Ok(()) => Ok(client),
        }
    }

    /// Its connection, if that is up.
    pub(crate) fn connected_client(&self) -> Option<zk::Client> {
        self.client_handle().filter(|client| client.state() == zk::SessionState::SyncConnected)
    }

    /// The result of `work`, unless the session ends first: its connection is given up then.
    pub(crate) async fn while_alive<T>(
        &self,
        request: Request,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.ended.cancelled() => {
                let ended = Failure::session_ended(self.id);
                Err(if request == Request::Changes { ended.after_a_part() } else { ended })
            }
            result = work => result,
        }
    }

    fn client_handle(&self) -> Option<zk::Client> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When it ends unless a heartbeat is answered before.
    fn due(&self) -> Instant {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) + self.ttl
    }

    fn hear(&self, now: Instant) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Keeps in mind where a lock is that was granted to it.
    pub(crate) fn remember(&self, grant: LockGrant, path: String) {
        self.places().insert(grant, path);
    }

    fn places(&self) -> MutexGuard<'_, HashMap<LockGrant, String>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up the connection. What still uses it ends with [`Session::ended`].
    fn take_client(&self) -> Option<zk::Client> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The sessions of one registry that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<SessionId, Open>>);

#[derive(Debug)]
struct Open {
    session: Arc<Session>,
    _keeper: AbortOnDropHandle<()>,
}

impl Sessions {
    pub(crate) fn find(&self, id: SessionId) -> Result<Arc<Session>, Failure> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&id).map(|open| Arc::clone(&open.session)).ok_or_else(|| Failure::session_ended(id))
    }

    /// Where a lock was granted to a session of ours; `None` where that is not known. The node has a name that no other has
    /// had, so the grant holds as long as the node is there. Whoever relies on it has the servers check that.
    pub(crate) fn place(&self, grant: &LockGrant) -> Option<String> {
        self.find(grant.session).ok()?.places().get(grant).cloned()
    }

    /// The same, and forgets it.
    pub(crate) fn take_place(&self, grant: &LockGrant) -> Option<String> {
        self.find(grant.session).ok()?.places().remove(grant)
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn add(&self, session: Arc<Session>, keeper: AbortOnDropHandle<()>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(session.id, Open { session, _keeper: keeper });
    }

    /// Takes a session out and ends it for everything that works for it here. The servers are not told.
    fn end(&self, id: SessionId) -> Option<Open> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)?;
        open.session.ended.cancel();
        Some(open)
    }

    /// Drops every connection: the sessions end with their ttl.
    pub(crate) fn forget_all(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for open in all.into_values() {
            open.session.ended.cancel();
            drop(open.session.take_client());
        }
    }
}

impl Inner {
    pub(crate) async fn open_session(self: &Arc<Self>, options: &SessionOptions) -> Result<SessionGrant, Failure> {
        check(options)?;
        if self.sessions.len() >= SESSIONS_MAX {
            let message = format!("at most {SESSIONS_MAX} sessions are kept by one client");
            return Err(Failure::refused(registry_api::ErrorKind::LimitExceeded, message));
        }
        let deadline = self.deadline();
        let client = self.dialer.open(options.ttl, Ending::Detached, deadline).await?;
        let id = node::session_id(client.session_id().0);
        let session = Arc::new(Session::new(id, client));
        let mut abandoned = close::Abandoned::new(self, &session);
        self.create_sign(&session, &options.label, deadline).await.map_err(Failure::after_a_part)?;
        abandoned.keep();
        let keeper = tokio::spawn(keeper::keep(Arc::clone(self), Arc::clone(&session)));
        let grant = SessionGrant { id, ttl: session.ttl };
        session.hear(Instant::now());
        self.sessions.add(session, AbortOnDropHandle::new(keeper));
        Ok(grant)
    }

    /// Creates the sign of life of a session: an ephemeral node by which other clients find it, and can ask for its end.
    async fn create_sign(&self, session: &Session, label: &str, deadline: Instant) -> Result<(), Failure> {
        let path = self.layout.session(session.id);
        let client = session.client(deadline).await?;
        loop {
            let options = self.dialer.created(zk::CreateMode::Ephemeral);
            let create = client.create(&path, label.as_bytes(), &options);
            match answer(deadline, Request::Changes, create).await {
                Err(failure) if failure.is(&zk::Error::NoNode) => {
                    self.create_containers(&client, crate::paths::parent(&path), deadline).await?;
                }
                // An earlier attempt of this call, whose answer was lost.
                Err(failure) if failure.is(&zk::Error::NodeExists) => return Ok(()),
                Err(failure) if failure.is_interruption() && Instant::now() < deadline => {
                    connected(&client, deadline).await?;
                }
                result => return result.map(drop),
            }
        }
    }

    /// Creates a container and those above it, as far as they are missing.
    pub(crate) async fn create_containers(
        &self,
        client: &zk::Client,
        path: &str,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let mut missing: Vec<_> = std::iter::once(path).chain(crate::paths::ancestors(path)).collect();
        missing.reverse();
        for path in missing {
            let create = client.create(path, b"", &self.dialer.created(zk::CreateMode::Container));
            match answer(deadline, Request::Changes, create).await {
                Err(failure) if !failure.is(&zk::Error::NodeExists) && !failure.is(&zk::Error::NoNode) => {
                    return Err(failure);
                }
                // A missing parent was removed again just now: the caller begins again.
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) async fn heartbeat(&self, id: SessionId) -> Result<Heartbeat, Failure> {
        let session = self.sessions.find(id)?;
        let deadline = self.deadline().min(session.due());
        let beat = async {
            let client = session.client(deadline).await?;
            // Through the leader: a follower that was cut off from it answers for nobody.
            match answer(deadline, Request::Changes, client.sync("/")).await {
                Err(_lost) if client.state().is_terminated() => Err(Failure::session_ended(id)),
                result => result,
            }
        };
        session.while_alive(Request::Reads, beat).await?;
        session.hear(Instant::now());
        Ok(Heartbeat { ttl: session.ttl })
    }
}

fn check(options: &SessionOptions) -> Result<(), Failure> {
    let SessionOptions { ttl, label } = options;
    if !(SESSION_TTL_MIN..=SESSION_TTL_MAX).contains(ttl) {
        let range = format!("{SESSION_TTL_MIN:?} to {SESSION_TTL_MAX:?} are allowed");
        return Err(Failure::invalid(format!("a ttl of {ttl:?} is out of range: {range}")));
    }
    if label.len() > SESSION_LABEL_LEN_MAX {
        let message = format!("the label has {} bytes; at most {SESSION_LABEL_LEN_MAX} are allowed", label.len());
        return Err(Failure::invalid(message));
    }
    Ok(())
}
