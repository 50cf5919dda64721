//! The task of one presence: registers, writes payloads, and registers again after a loss.

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Incarnation, PresenceOptions, PresenceRecord, PresenceState};
use crate::backoff::Backoff;
use crate::{Entry, Error, ErrorKind, Precondition, PutOptions, RegistryClient, Result, Revision, Session, SessionId};

pub(super) struct Actor {
    client: RegistryClient,
    options: PresenceOptions,
    incarnation: Incarnation,
    payload: watch::Receiver<Bytes>,
}

/// What came of an attempt to register.
enum Registration {
    Done(Revision),
    Conflict(Option<SessionId>),
}

impl Actor {
    pub(super) fn new(client: RegistryClient, options: PresenceOptions, payload: watch::Receiver<Bytes>) -> Self {
        Self { client, options, incarnation: Incarnation::unique(), payload }
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The first registration: refused where anybody else has the key.
    pub(super) async fn announce(&mut self) -> Result<(Session, Revision)> {
        let session = self.client.open_session(self.options.session.clone()).await?;
        let record = self.record();
        let revision = session.put_with(&self.options.key, record, PutOptions::default()).await?;
        Ok((session, revision))
    }

    pub(super) async fn run(
        mut self,
        states: watch::Sender<PresenceState>,
        sessions: watch::Sender<Session>,
        stop: CancellationToken,
    ) -> Result<()> {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.stay_registered(&states, &sessions) => {}
        }
        states.send_replace(PresenceState::Withdrawn);
        let session = sessions.borrow().clone();
        session.close().await
    }

    /// Returns when the registry is closed: nothing can be registered any more.
    async fn stay_registered(&mut self, states: &watch::Sender<PresenceState>, sessions: &watch::Sender<Session>) {
        let mut backoff = Backoff::patient();
        loop {
            let session = sessions.borrow().clone();
            let registered = matches!(*states.borrow(), PresenceState::Registered { .. });
            let outcome = if registered {
                tokio::select! {
                    biased;
                    _end = session.ended() => Ok(None),
                    outcome = self.keep_fresh(&session) => outcome.map(Some),
                }
            } else {
                self.register(&session).await.map(Some)
            };
            match outcome {
                Ok(Some(Registration::Done(revision))) => {
                    backoff.reset();
                    publish(states, PresenceState::Registered { session: session.id(), revision });
                }
                Ok(Some(Registration::Conflict(owner))) => {
                    publish(states, PresenceState::Conflict { owner });
                    pause(&session, &mut backoff).await;
                }
                Ok(None) => publish(states, PresenceState::Lost),
                Err(error) if *error.kind() == ErrorKind::Closed => return,
                Err(error) => {
                    tracing::debug!(key = %self.options.key, %error, "presence could not be written, trying again");
                    pause(&session, &mut backoff).await;
                }
            }
            if !session.is_alive() {
                publish(states, PresenceState::Lost);
                if let Err(error) = self.replace_session(sessions).await {
                    if *error.kind() == ErrorKind::Closed {
                        return;
                    }
                    backoff.sleep().await;
                }
            }
        }
    }

    async fn replace_session(&self, sessions: &watch::Sender<Session>) -> Result<()> {
        let session = self.client.open_session(self.options.session.clone()).await?;
        sessions.send_replace(session);
        Ok(())
    }

    /// Writes changes and refreshes; returns only when the key is not as it was left.
    async fn keep_fresh(&mut self, session: &Session) -> Result<Registration> {
        let mut written = Instant::now();
        loop {
            let due = self.options.refresh_interval.map(|interval| written + interval);
            tokio::select! {
                changed = self.payload.changed() => {
                    if changed.is_err() {
                        // The handle is being dropped; `stop` is on its way.
                        std::future::pending::<()>().await;
                    }
                }
                () = sleep_until(due) => {}
            }
            match self.write(session).await {
                Ok(_) => written = Instant::now(),
                Err(error) if is_about_the_key(&error) => return self.register(session).await,
                Err(error) => {
                    // What was to be written is still due.
                    self.payload.mark_changed();
                    return Err(error);
                }
            }
        }
    }

    async fn write(&mut self, session: &Session) -> Result<Revision> {
        let options = PutOptions::default().when(Precondition::OwnedBy(session.id()));
        let record = self.record();
        session.put_with(&self.options.key, record, options).await
    }

    /// Registers in this session: creates the key, updates this session's own, or takes it over from the predecessor.
    async fn register(&mut self, session: &Session) -> Result<Registration> {
        let entry = self.client.get(&self.options.key).await?;
        let options = match entry {
            None => PutOptions::default().when(Precondition::Absent),
            Some(entry) if self.is_mine(&entry) => {
                if entry.owner == Some(session.id()) && entry.value == self.record() {
                    return Ok(Registration::Done(entry.modified));
                }
                PutOptions::default().when(Precondition::At(entry.modified)).taking_over()
            }
            Some(entry) => return Ok(Registration::Conflict(entry.owner)),
        };
        let record = self.record();
        session.put_with(&self.options.key, record, options).await.map(Registration::Done)
    }

    fn is_mine(&self, entry: &Entry) -> bool {
        let record = PresenceRecord::decode(&entry.value);
        entry.owner.is_some() && record.is_some_and(|record| record.incarnation == self.incarnation)
    }

    fn record(&mut self) -> Bytes {
        let payload = self.payload.borrow_and_update().clone();
        PresenceRecord { incarnation: self.incarnation, payload }.encode()
    }
}

fn is_about_the_key(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PreconditionFailed | ErrorKind::OwnedByAnother { .. } | ErrorKind::LifetimeMismatch
    )
}

fn publish(states: &watch::Sender<PresenceState>, state: PresenceState) {
    states.send_if_modified(|current| {
        let changed = *current != state;
        *current = state;
        changed
    });
}

/// The end of the session is told at once, whatever is being waited for.
async fn pause(session: &Session, backoff: &mut Backoff) {
    tokio::select! {
        biased;
        _end = session.ended() => {}
        () = backoff.sleep() => {}
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending::<()>().await,
    }
}
