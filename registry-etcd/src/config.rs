//! The section `[registry.etcd]`.

mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use figment::Figment;
use registry_api::{Effect, Error, ErrorKind, Key, Operation, Result, SESSION_TTL_DEFAULT};

use crate::connect::Address;
use crate::error::BACKEND;

const LOCK_ROOT_DEFAULT: &str = "/locks";
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// The section `[registry.etcd]`.
///
/// | Key | Meaning | Default |
/// |---|---|---|
/// | `endpoints` | the members to connect to, `"http://host:port"` or `"https://host:port"`; the first that serves is used | required |
/// | `connect_timeout` | how long a serving member is looked for before connecting fails, 10 ms to 10 min | `"10s"` |
/// | `request_timeout` | how long one request may take, 10 ms to 10 min | that of `[registry]`, `"5s"` |
/// | `session_ttl` | the ttl that the application is going to ask for | that of `[registry]`, `"10s"` |
/// | `lock_root` | the key below which locks are kept | `"/locks"` |
/// | `user` | who to be, with `password` or `password_file` | nobody |
/// | `tls.ca` | file of the authorities that are trusted, PEM | none: required for `https` |
/// | `tls.cert`, `tls.key` | files of the certificate to show and of its key, PEM | none is shown |
/// | `tls.domain` | the name that the servers' certificates have to bear | the host of the endpoint |
///
/// Names are resolved on every dial. Secrets are never printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSettings {
    /// The members to connect to.
    pub endpoints: Vec<String>,
    /// How long a serving member is looked for before connecting fails.
    pub connect_timeout: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// The ttl that the application is going to ask for.
    pub session_ttl: Duration,
    /// The key below which locks are kept.
    pub lock_root: Key,
    /// Who to be.
    pub user: Option<User>,
    /// How connections are secured; for `https` endpoints.
    pub tls: Option<Tls>,
}

/// A user of etcd.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// Shows no password.
impl fmt::Debug for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The files of a secured connection, PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub struct Tls {
    /// The authorities that are trusted.
    pub ca: Option<PathBuf>,
    /// The certificate to show.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The name that the servers' certificates have to bear, where it is not the host of the endpoint.
    pub domain: Option<String>,
}

impl EtcdSettings {
    /// The settings for these endpoints, everything else as by default.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration): an endpoint that is none.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let settings = Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            request_timeout: REQUEST_TIMEOUT_DEFAULT,
            session_ttl: SESSION_TTL_DEFAULT,
            lock_root: Key::parse(LOCK_ROOT_DEFAULT).map_err(|error| refusal(error.to_string()))?,
            user: None,
            tls: None,
        };
        settings.check()?;
        Ok(settings)
    }

    /// Reads the section that `figment` is focused on.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration): an unknown key, a value that is not right, values that contradict
    /// each other, a password file that cannot be read. The message names the key and where it was set.
    pub fn read(figment: &Figment) -> Result<Self> {
        read::read(figment)
    }

    pub(crate) fn addresses(&self) -> Result<Vec<Address>> {
        self.endpoints.iter().map(|text| Address::parse(text).map_err(refusal)).collect()
    }

    pub(crate) fn check(&self) -> Result<()> {
        let addresses = self.addresses()?;
        if addresses.is_empty() {
            let example = "name at least one member: endpoints = [\"http://etcd-1:2379\"]";
            return Err(refusal(format!("endpoints is empty; {example}")));
        }
        let secure = addresses.iter().filter(|address| address.is_secure()).count();
        if secure != 0 && secure != addresses.len() {
            return Err(refusal("endpoints mix http and https; use one of them for all members".to_owned()));
        }
        let Some(tls) = &self.tls else {
            return match secure {
                0 => Ok(()),
                _ => Err(refusal("endpoints are https; name the authorities to trust: tls.ca".to_owned())),
            };
        };
        if secure == 0 {
            return Err(refusal("tls is set, and endpoints are http; write https://".to_owned()));
        }
        if tls.ca.is_none() {
            return Err(refusal("tls is set without tls.ca, the file of the authorities to trust".to_owned()));
        }
        if tls.cert.is_some() != tls.key.is_some() {
            return Err(refusal("tls.cert and tls.key go together; one of them is missing".to_owned()));
        }
        Ok(())
    }
}

pub(crate) fn refusal(message: String) -> Error {
    Error::new(ErrorKind::Configuration, Effect::NotApplied, Operation::Connect, BACKEND, message)
}
