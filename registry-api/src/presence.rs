//! Presence: being registered, with a payload, for as long as the process is there.

mod actor;
mod record;
mod state;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Effect, Error, ErrorKind, Key, Operation, RegistryClient, Result, Session, SessionOptions, VALUE_LEN_MAX};

pub use record::{Incarnation, PRESENCE_HEADER_LEN, PresenceRecord};
pub use state::{PresenceState, PresenceWatch};

/// The shortest [`PresenceOptions::refresh_interval`].
pub const REFRESH_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// How to be present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceOptions {
    /// The key to register.
    pub key: Key,
    /// The session that the key belongs to; each presence has its own.
    pub session: SessionOptions,
    /// Puts the current payload again after this time without a change, so that readers can tell a quiet process from a
    /// stuck one; at least [`REFRESH_INTERVAL_MIN`]. `None` writes changes only. The session's heartbeats need no writes either way.
    pub refresh_interval: Option<Duration>,
}

impl PresenceOptions {
    /// Presence at `key`, with the default session, writing changes only.
    #[must_use]
    pub fn at(key: Key) -> Self {
        Self { key, session: SessionOptions::default(), refresh_interval: None }
    }
}

/// A registration: an ephemeral key whose value is a [`PresenceRecord`]. What a scheduler calls its heartbeat.
///
/// The key is put when it is announced, and put again when the payload changes; it is never deleted and created again,
/// so nobody sees a healthy process die. After the session was lost, the presence registers exactly once more, in a new
/// session: it takes the key over where its own predecessor (the same [`Incarnation`]) still holds it. A key held by
/// anybody else is left alone and reported as [`PresenceState::Conflict`]; it is tried again (after 50 ms at first, then
/// with pauses up to 5 s) in case the other goes away.
///
/// Dropping it withdraws in the background, as far as the runtime still runs; [`withdraw`](Presence::withdraw) waits for
/// it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use registry_api::{Key, Presence, PresenceOptions, PresenceRecord, RegistryClient, memory::MemoryStore};
///
/// let client = RegistryClient::new(MemoryStore::new().client());
/// let key: Key = "/workers/1".parse()?;
/// let presence = Presence::announce(&client, PresenceOptions::at(key.clone()), "load 0.1").await?;
/// let entry = client.get(&key).await?.ok_or("registered")?;
/// let record = PresenceRecord::decode(&entry.value).ok_or("a record")?;
/// assert_eq!((record.incarnation, &record.payload[..]), (presence.incarnation(), &b"load 0.1"[..]));
/// presence.withdraw().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Presence {
    client: RegistryClient,
    key: Key,
    incarnation: Incarnation,
    payload: watch::Sender<Bytes>,
    states: watch::Receiver<PresenceState>,
    session: watch::Receiver<Session>,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<Result<()>>>,
}

impl Presence {
    /// Registers. Returns when the key is put.
    ///
    /// # Errors
    ///
    /// [`OwnedByAnother`](ErrorKind::OwnedByAnother): another live session holds the key; also that of a predecessor that
    /// died a moment ago and has not expired yet. Those of opening a session and of
    /// [`Registry::put`](crate::Registry::put).
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind: the session is closed in the background.
    pub async fn announce(
        client: &RegistryClient,
        options: PresenceOptions,
        payload: impl Into<Bytes>,
    ) -> Result<Self> {
        let payload = payload.into();
        check_payload(client, &options.key, &payload)?;
        check_refresh(client, &options)?;
        let key = options.key.clone();
        let payload = watch::Sender::new(payload);
        let mut actor = actor::Actor::new(client.clone(), options, payload.subscribe());
        let (session, revision) = actor.announce().await?;
        let states = watch::Sender::new(PresenceState::Registered { session: session.id(), revision });
        let sessions = watch::Sender::new(session);
        let incarnation = actor.incarnation();
        let stop = CancellationToken::new();
        let watched = (states.subscribe(), sessions.subscribe());
        // The task ends with this handle: dropping it cancels `stop`.
        let task = tokio::spawn(actor.run(states, sessions, stop.clone()));
        let (states, session) = watched;
        Ok(Self { client: client.clone(), key, incarnation, payload, states, session, stop, task: Some(task) })
    }

    /// The key that is registered.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What tells this announcement from every other at the same key; the same in every session of this presence.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The session of the registration now. After a loss it is another one.
    #[must_use]
    pub fn session(&self) -> Session {
        self.session.borrow().clone()
    }

    /// Reports a new payload (at most [`VALUE_LEN_MAX`] less [`PRESENCE_HEADER_LEN`] bytes). It is written in the
    /// background; of several reported quickly, the last is. An equal payload is not written again.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument): too long.
    pub fn report(&self, payload: impl Into<Bytes>) -> Result<()> {
        let payload = payload.into();
        check_payload(&self.client, &self.key, &payload)?;
        self.payload.send_if_modified(|current| {
            let changed = *current != payload;
            *current = payload;
            changed
        });
        Ok(())
    }

    /// The state now, by the clock: a loss shows at the first look after a freeze.
    #[must_use]
    pub fn state(&self) -> PresenceState {
        self.states().state()
    }

    /// Watches the state; begins with the current one.
    #[must_use]
    pub fn states(&self) -> PresenceWatch {
        PresenceWatch::new(self.states.clone(), self.session.clone())
    }

    /// Ends the registration: the key is gone when this returns successfully.
    ///
    /// # Errors
    ///
    /// Those of [`Session::close`]; the key then ends with the ttl.
    ///
    /// # Cancellation
    ///
    /// Withdrawing goes on in the background.
    pub async fn withdraw(mut self) -> Result<()> {
        self.stop.cancel();
        let Some(task) = self.task.take() else { return Ok(()) };
        match task.await {
            Ok(result) => result,
            Err(stopped) => {
                let message = "the task of the presence was stopped; the key ends with the ttl";
                let (kind, operation) = (ErrorKind::Unavailable, Operation::CloseSession);
                Err(Error::new(kind, Effect::Unknown, operation, self.client.backend(), message).with_source(stopped))
            }
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn check_payload(client: &RegistryClient, key: &Key, payload: &Bytes) -> Result<()> {
    let longest = VALUE_LEN_MAX - PRESENCE_HEADER_LEN;
    if payload.len() <= longest {
        return Ok(());
    }
    let message = format!("the payload has {} bytes; at most {longest} are allowed", payload.len());
    Err(client.refusal(ErrorKind::InvalidArgument, Operation::Put, message).with_key(key.clone()))
}

fn check_refresh(client: &RegistryClient, options: &PresenceOptions) -> Result<()> {
    match options.refresh_interval {
        Some(interval) if interval < REFRESH_INTERVAL_MIN => {
            let message = format!(
                "refresh_interval is {interval:?}; at least {REFRESH_INTERVAL_MIN:?} is allowed, or none at all"
            );
            Err(client.refusal(ErrorKind::InvalidArgument, Operation::Put, message).with_key(options.key.clone()))
        }
        _ => Ok(()),
    }
}
