//! The session handle: keeps itself alive, and knows by a local clock until when it can be relied on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::keeper::{Closing, Keeper, usable};
use super::life::Life;
use super::releases::Releases;
use crate::clock::Deadline;
use crate::{
    Effect, Error, ErrorKind, GiveBack, Key, Lifetime, LockGuard, LockName, LockRequest, LockWait, Operation,
    PutOptions, RegistryClient, Result, Revision, SessionEnd, SessionId, SessionOptions, SessionState, SessionWatch,
};

/// A live session: what ephemeral keys and locks belong to. It sends its heartbeats itself, every third of its ttl or
/// more often. Clones are the same session.
///
/// The session is believed in until [`deadline`](Session::deadline): the moment when the last confirmed heartbeat was
/// *sent*, plus the granted ttl, minus a margin of 0.1 % of the ttl and 50 ms. The backend counts from later, so this
/// side gives up first (guarantee G7): at that moment, by a clock that also counts the time that the machine was
/// suspended, the session is [`Ended(Presumed)`](SessionState::Ended), and it never revives.
///
/// Each end is counted in `registry_sessions_ended_total` (label `end`: `closed`, `expired` or `presumed`).
///
/// When the last clone is dropped (guards count as clones) the session is closed in the background, with one attempt
/// that ends within the request timeout. [`close`](Session::close) does the same and tells the result.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use registry_api::{Key, RegistryClient, SessionOptions, memory::MemoryStore};
///
/// let client = RegistryClient::new(MemoryStore::new().client());
/// let session = client.open_session(SessionOptions::default()).await?;
/// let key: Key = "/nodes/1".parse()?;
/// session.put(&key, "here").await?;
/// session.close().await?;
/// assert_eq!(client.get(&key).await?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: RegistryClient,
    id: SessionId,
    ttl: Duration,
    life: Arc<Life>,
    releases: Arc<Releases>,
    stop: CancellationToken,
    closing: watch::Receiver<Closing>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Session {
    pub(crate) async fn open(client: &RegistryClient, options: SessionOptions) -> Result<Self> {
        let opened = client.clock().now();
        let grant = client.grant_session(options).await?;
        let life = Arc::new(Life::new(client.clock().clone(), opened.plus(usable(grant.ttl))));
        let releases = Arc::new(Releases::default());
        let stop = CancellationToken::new();
        let closing = watch::Sender::new(None);
        let session = Self {
            inner: Arc::new(Inner {
                client: client.clone(),
                id: grant.id,
                ttl: grant.ttl,
                life: life.clone(),
                releases: releases.clone(),
                stop: stop.clone(),
                closing: closing.subscribe(),
            }),
        };
        // The task ends with the session: its last handle cancels `stop`.
        tokio::spawn(Keeper { client: client.clone(), grant, opened, life, releases, stop, closing }.run());
        Ok(session)
    }

    /// Its id: never given to another session.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.inner.id
    }

    /// The time to live that the backend granted.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.inner.ttl
    }

    /// The client that opened it.
    #[must_use]
    pub fn client(&self) -> &RegistryClient {
        &self.inner.client
    }

    /// How it stands at this moment, by the clock: exact also right after a freeze.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.inner.life.state()
    }

    /// Watches the state; begins with the current one.
    #[must_use]
    pub fn states(&self) -> SessionWatch {
        SessionWatch::new(self.inner.life.clone())
    }

    /// Until when it can be relied on, as far as confirmed now.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.inner.life.deadline()
    }

    /// Whether it can be relied on at this moment.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.inner.life.end_seen().is_none()
    }

    /// Waits for the end, however it comes: no later than anybody else can see its keys gone or take its locks. After
    /// the machine was suspended, it is told within 200 ms of waking up.
    ///
    /// # Cancellation
    ///
    /// Safe.
    pub async fn ended(&self) -> SessionEnd {
        self.inner.life.ended().await
    }

    /// Puts an ephemeral key: creates it, or updates this session's own.
    ///
    /// # Errors
    ///
    /// [`SessionEnded`](ErrorKind::SessionEnded), and those of [`Registry::put`](crate::Registry::put).
    pub async fn put(&self, key: &Key, value: impl Into<Bytes>) -> Result<Revision> {
        self.put_with(key, value, PutOptions::default()).await
    }

    /// Puts an ephemeral key under a precondition, or taking it over. The lifetime of `options` is replaced: the key ends
    /// with this session.
    ///
    /// # Errors
    ///
    /// [`SessionEnded`](ErrorKind::SessionEnded), and those of [`Registry::put`](crate::Registry::put).
    pub async fn put_with(&self, key: &Key, value: impl Into<Bytes>, options: PutOptions) -> Result<Revision> {
        self.check(Operation::Put)?;
        let options = PutOptions { lifetime: Lifetime::Ephemeral(self.id()), ..options };
        let result = self.inner.client.put_with(key, value, options).await;
        self.learn_from(result)
    }

    /// Takes a lock, waiting in order of arrival. Locks are not re-entrant: a second request of the same session waits
    /// like any other.
    ///
    /// # Errors
    ///
    /// [`LockTimeout`](ErrorKind::LockTimeout): not free in time. [`SessionEnded`](ErrorKind::SessionEnded): also when
    /// the session ends while it waits; a guard is never returned by a session that has ended.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves the queue, or gives the lock back if it had just been granted.
    pub async fn lock(&self, name: &LockName, wait: LockWait) -> Result<LockGuard> {
        self.check(Operation::Acquire)?;
        let request = LockRequest { name: name.clone(), session: self.id(), wait };
        let result = tokio::select! {
            biased;
            end = self.ended() => return Err(self.ended_error(end, Operation::Acquire, Effect::Unknown)),
            result = self.inner.client.acquire(request) => result,
        };
        let guard = LockGuard::new(self.clone(), self.learn_from(result)?);
        // The answer may be old: the process may have been stopped between the grant and here.
        match self.inner.life.end_seen() {
            Some(end) => Err(self.ended_error(end, Operation::Acquire, Effect::Unknown)),
            None => Ok(guard),
        }
    }

    /// Closes the session: its keys vanish and its locks are free when this returns successfully. It counts as ended from
    /// the moment of the call. Closing a session that has ended succeeds; one that is presumed ended is closed at the
    /// backend.
    ///
    /// # Errors
    ///
    /// When the backend does not confirm within the request timeout: its heartbeats have stopped, so it ends with its
    /// ttl.
    ///
    /// # Cancellation
    ///
    /// The session is closed all the same, in the background.
    pub async fn close(&self) -> Result<()> {
        let end = self.inner.life.end(SessionEnd::Closed);
        self.inner.stop.cancel();
        if end == SessionEnd::Presumed {
            return self.inner.client.close_session(self.id()).await;
        }
        let mut closing = self.inner.closing.clone();
        match closing.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Err(error))) => Err(error.duplicate()),
            Ok(_) => Ok(()),
            Err(_gone) => Err(Error::new(
                ErrorKind::Unavailable,
                Effect::Unknown,
                Operation::CloseSession,
                self.inner.client.backend(),
                "the runtime that kept the session alive has stopped; the session ends with its ttl",
            )),
        }
    }

    /// Refuses what would rely on a session that has ended.
    pub(crate) fn check(&self, operation: Operation) -> Result<()> {
        match self.inner.life.end_seen() {
            Some(end) => Err(self.ended_error(end, operation, Effect::NotApplied)),
            None => Ok(()),
        }
    }

    pub(crate) fn give_back(&self, what: GiveBack) {
        self.inner.releases.add(what);
    }

    /// An answer that this session has ended ends it here too, without waiting for the next heartbeat.
    pub(crate) fn learn_from<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && *error.kind() == ErrorKind::SessionEnded
        {
            self.inner.life.end(SessionEnd::Expired);
        }
        result
    }

    fn ended_error(&self, end: SessionEnd, operation: Operation, effect: Effect) -> Error {
        let how = match end {
            SessionEnd::Closed => "was closed",
            SessionEnd::Expired => "has expired",
            SessionEnd::Presumed => "had no heartbeat confirmed in time and is presumed ended",
        };
        let message = format!("the session {} {how}", self.id());
        Error::new(ErrorKind::SessionEnded, effect, operation, self.inner.client.backend(), message)
    }
}
