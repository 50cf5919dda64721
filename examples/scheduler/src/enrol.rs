//! Being registered as a master or worker: at the start, over losses, and to the farewell.

use std::time::Duration;

use bytes::Bytes;
use registry_api::{ErrorKind, Presence, PresenceOptions, PresenceState, Session, SessionOptions};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::wall_ms;
use crate::cluster::Connected;
use crate::config::OnRegistryLost;
use crate::exit::{Code, Failure};
use crate::state::{self, DeathReason, DeathRecord, Role, keys};

/// Between two tries to register at the start.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long a farewell may take; then it is left to the end of the session.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(3);

/// A registration that outlives its sessions.
#[derive(Debug)]
pub struct Enrolment {
    connected: Connected,
    role: Role,
    presence: Presence,
}

impl Enrolment {
    /// Registers, waiting for the registry and for the end of a predecessor of the same name.
    ///
    /// # Errors
    ///
    /// [`Code::Unreachable`]: the registry did not serve within `scheduler.start_timeout`.
    /// [`Code::Configuration`]: another live process has the name.
    pub async fn begin(connected: &Connected, role: Role, payload: Bytes) -> Result<Self, Failure> {
        let limit = connected.settings.start_timeout.0;
        let deadline = Instant::now() + limit;
        let mut told = false;
        loop {
            let error = match Self::try_begin(connected, role, payload.clone(), deadline).await {
                Ok(presence) => return Ok(Self { connected: connected.clone(), role, presence }),
                Err(error) => error,
            };
            if Instant::now() + RETRY_PAUSE >= deadline || !is_worth_waiting(&error) {
                return Err(given_up(connected, role, limit, error));
            }
            if !told {
                tracing::info!(name = %connected.name, "waiting for the registry: {error}");
                told = true;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn try_begin(
        connected: &Connected,
        role: Role,
        payload: Bytes,
        deadline: Instant,
    ) -> registry_api::Result<Presence> {
        let label = format!("{role} {}", connected.name);
        let options = PresenceOptions {
            key: keys::presence(role, &connected.name),
            session: SessionOptions { label, ..connected.client.session_options() },
            refresh_interval: None,
        };
        let announcing = Presence::announce(&connected.client, options, payload);
        tokio::time::timeout_at(deadline, announcing).await.unwrap_or_else(|_elapsed| {
            use registry_api::{Effect, Error, Operation};
            let message = "the registry did not answer in time";
            let backend = connected.client.backend();
            Err(Error::new(ErrorKind::DeadlineExceeded, Effect::Unknown, Operation::OpenSession, backend, message))
        })
    }

    /// Tells a new payload; it is written in the background.
    pub fn report(&self, payload: Bytes) {
        if let Err(error) = self.presence.report(payload) {
            tracing::warn!(%error, "the presence cannot be reported");
        }
    }

    /// The session that is registered; `None` when `stop` came first.
    ///
    /// # Errors
    ///
    /// [`Code::RegistryLost`]: after a loss with `on_registry_lost = "stop"`.
    pub async fn session(&self, stop: &CancellationToken, after: Standing) -> Result<Option<Session>, Failure> {
        let registered = self.registered();
        match (after, self.connected.settings.on_registry_lost) {
            (Standing::LostBefore, OnRegistryLost::Stop) => {
                let patience = self.patience();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => Ok(None),
                    session = registered => Ok(session),
                    () = tokio::time::sleep(patience) => Err(self.gone()),
                }
            }
            (Standing::LostBefore, OnRegistryLost::Wait) | (Standing::New, _) => tokio::select! {
                biased;
                () = stop.cancelled() => Ok(None),
                session = registered => Ok(session),
            },
        }
    }

    /// Waits until the key is registered in a live session; `None` when the registry was closed.
    async fn registered(&self) -> Option<Session> {
        let mut states = self.presence.states();
        loop {
            if let PresenceState::Registered { session, .. } = states.next().await? {
                let current = self.presence.session();
                if current.id() == session && current.is_alive() {
                    let (name, ttl) = (&self.connected.name, humantime::format_duration(current.ttl()));
                    tracing::info!(event = "registered", %name, %session, %ttl, "registered");
                    return Some(current);
                }
            }
        }
    }

    /// How long a process that stops when the registry is lost still hopes. A process that was frozen finds the registry
    /// as it was, and needs one round trip for a new session; one that is cut off knows it.
    fn patience(&self) -> Duration {
        match self.connected.client.connection().state() {
            registry_api::ConnectionState::Connected => self.presence.session().ttl(),
            _ => Duration::ZERO,
        }
    }

    fn gone(&self) -> Failure {
        let Connected { name, settings, .. } = &self.connected;
        Failure::new(
            Code::RegistryLost,
            format!(
                "{} {name} stops: the registry could not be reached for longer than its session lives, and \
                 scheduler.on_registry_lost is \"{}\"",
                self.role,
                settings.on_registry_lost.as_str()
            ),
        )
    }

    /// Leaves: enters itself into the dead list as gone cleanly, and withdraws. What does not succeed in time is left to
    /// the end of the session.
    pub async fn farewell(self, last_report: serde_json::Value) {
        let session = self.presence.session().id();
        let Connected { client, name, .. } = self.connected;
        let record = DeathRecord {
            role: self.role,
            name: name.clone(),
            session,
            noticed_at: wall_ms(),
            noticed_by: name.clone(),
            reason: DeathReason::Left,
            certificate: None,
            last_report,
        };
        let leaving = async {
            let key = keys::death(self.role, &name, session);
            client.create(&key, state::encode(&record)).await?;
            self.presence.withdraw().await
        };
        match tokio::time::timeout(FAREWELL_TIMEOUT, leaving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "left without farewell"),
            Err(_elapsed) => tracing::warn!("left without farewell: the registry does not answer"),
        }
    }
}

/// Whether a session was had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The first session.
    New,
    /// The session before was lost.
    LostBefore,
}

/// Tells that a session was lost.
pub fn tell_loss(connected: &Connected) {
    let mode = connected.settings.on_registry_lost.as_str();
    tracing::warn!(event = "registry_lost", name = %connected.name, mode, "the session ended: all work is stopped");
}

fn is_worth_waiting(error: &registry_api::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable
            | ErrorKind::DeadlineExceeded
            | ErrorKind::OwnedByAnother { .. }
            | ErrorKind::SessionEnded
            | ErrorKind::PreconditionFailed
    )
}

fn given_up(connected: &Connected, role: Role, limit: Duration, error: registry_api::Error) -> Failure {
    match error.kind() {
        ErrorKind::OwnedByAnother { owner } => Failure::configuration(format!(
            "another live {role} is named {}: its session is {owner}; choose another scheduler.name",
            connected.name
        )),
        _ if is_worth_waiting(&error) => {
            let limit = humantime::format_duration(limit);
            Failure::new(Code::Unreachable, format!("the registry served nothing within {limit}: {error}"))
        }
        _ => error.into(),
    }
}
