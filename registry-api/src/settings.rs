//! Settings: the section `[registry]`, and the strict reading that every section shares.

mod duration;
mod extract;
mod layers;
#[cfg(test)]
mod tests;

use std::time::Duration;

use figment::Figment;
use figment::providers::Serialized;
use humantime::format_duration;
use serde::{Deserialize, Serialize};

use crate::{
    ClientOptions, Effect, Error, ErrorKind, Key, Operation, Result, SESSION_TTL_DEFAULT, SESSION_TTL_MAX,
    SESSION_TTL_MIN,
};

pub use duration::{duration, optional_duration};
pub use extract::{extract, nearest, source_of};
pub use layers::{ENVIRONMENT_PREFIX, layered};

/// The section `[registry]`: what is the same for every backend.
///
/// | Key | Meaning | Default |
/// |---|---|---|
/// | `backend` | the name of the backend | none: required |
/// | `namespace` | the key below which everything is kept | none: the whole registry |
/// | `session_ttl` | time to live of sessions, 500 ms to 10 min | `"10s"` |
/// | `heartbeat_interval` | how often a session is kept alive; three must fit into `session_ttl` | a third of the ttl |
/// | `request_timeout` | how long one request may take, 10 ms to 10 min | `"5s"` |
///
/// Durations are strings with a unit. The section of a backend is `[registry.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySettings {
    /// The name of the backend.
    pub backend: String,
    /// The key below which everything is kept.
    pub namespace: Option<Key>,
    /// Time to live of sessions that do not ask for another.
    pub session_ttl: Duration,
    /// How often a session is kept alive; `None` for a third of its ttl.
    pub heartbeat_interval: Option<Duration>,
    /// How long one request may take.
    pub request_timeout: Duration,
}

const KNOWN: [&str; 5] = ["backend", "namespace", "session_ttl", "heartbeat_interval", "request_timeout"];
const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT_MIN: Duration = Duration::from_millis(10);
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
struct Raw {
    backend: String,
    namespace: Option<String>,
    #[serde(default, deserialize_with = "optional_duration")]
    session_ttl: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    heartbeat_interval: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    request_timeout: Option<Duration>,
}

impl RegistrySettings {
    /// Reads the section that `figment` is focused on. `sections` are the names of the backends: their sections are
    /// theirs to read.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration): the message names the key, what is wrong, and where it was set.
    pub fn read(figment: &Figment, sections: &[&str]) -> Result<Self> {
        let known: Vec<_> = KNOWN.iter().chain(sections).copied().collect();
        let raw: Raw = extract(figment, "registry", &known)?;
        extract::refuse_scalars(figment, "registry", sections)?;
        let namespace = match raw.namespace.as_deref() {
            None | Some("" | "/") => None,
            Some(text) => Some(Key::parse(text).map_err(|error| refusal(format!("namespace: {error}")))?),
        };
        let settings = Self {
            backend: raw.backend,
            namespace,
            session_ttl: raw.session_ttl.unwrap_or(SESSION_TTL_DEFAULT),
            heartbeat_interval: raw.heartbeat_interval,
            request_timeout: raw.request_timeout.unwrap_or(REQUEST_TIMEOUT_DEFAULT),
        };
        settings.check()?;
        Ok(settings)
    }

    /// The options of the client that these settings describe.
    #[must_use]
    pub fn client_options(&self) -> ClientOptions {
        ClientOptions {
            session_ttl: self.session_ttl,
            heartbeat_interval: self.heartbeat_interval,
            request_timeout: self.request_timeout,
        }
    }

    fn check(&self) -> Result<()> {
        in_range("session_ttl", self.session_ttl, SESSION_TTL_MIN, SESSION_TTL_MAX)?;
        in_range("request_timeout", self.request_timeout, REQUEST_TIMEOUT_MIN, REQUEST_TIMEOUT_MAX)?;
        let Some(heartbeat) = self.heartbeat_interval else { return Ok(()) };
        if heartbeat.is_zero() || heartbeat.saturating_mul(3) > self.session_ttl {
            return Err(refusal(format!(
                "heartbeat_interval = \"{}\" is too long for session_ttl = \"{}\": three heartbeats must fit into the ttl \
                 (at most \"{}\", more than zero)",
                format_duration(heartbeat),
                format_duration(self.session_ttl),
                format_duration(self.session_ttl / 3),
            )));
        }
        Ok(())
    }
}

fn in_range(key: &str, value: Duration, least: Duration, most: Duration) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(refusal(format!(
        "{key} = \"{}\" is out of range: \"{}\" to \"{}\" are allowed",
        format_duration(value),
        format_duration(least),
        format_duration(most)
    )))
}

/// What a backend's section inherits where it does not say otherwise.
#[derive(Serialize)]
pub(crate) struct Inherited {
    request_timeout: String,
    session_ttl: String,
}

pub(crate) fn inherited(settings: &RegistrySettings) -> Serialized<Inherited> {
    Serialized::defaults(Inherited {
        request_timeout: format_duration(settings.request_timeout).to_string(),
        session_ttl: format_duration(settings.session_ttl).to_string(),
    })
}

fn refusal(message: String) -> Error {
    Error::new(ErrorKind::Configuration, Effect::NotApplied, Operation::Connect, "registry", message)
}
