//! Settings: the section `[registry.zookeeper]`.

mod endpoints;
mod read;
mod secret;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use figment::Figment;
use registry_api::{Effect, Error, ErrorKind, Key, Operation, Result};

use crate::error::BACKEND;

pub use secret::Secret;

/// The section `[registry.zookeeper]`.
///
/// | Key | Meaning | Default |
/// |---|---|---|
/// | `connect` | the servers: `"host-1:2181,host-2:2181"`; the port may be left out | none: required |
/// | `connect_timeout` | how long the first connection may take | `"10s"` |
/// | `request_timeout` | how long one request may take | that of `[registry]`, or `"5s"` |
/// | `session_ttl` | only checked here; sessions ask for their own | that of `[registry]` |
/// | `lock_root` | the path below which the locks are | `"/locks"` |
/// | `acl` | who may use what this creates: `"anyone"` or `"creator"` (needs `auth`) | `"anyone"` |
/// | `tls` | a table with `ca`, and `cert` and `key` for a client certificate: paths of PEM files | none: plain TCP |
/// | `auth` | a table with `scheme` (`"digest"` or `"sasl"`), `user`, and `password` or `password_file` | none |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZooKeeperSettings {
    /// The servers, each `host:port`. Names are resolved on every dial.
    pub connect: Vec<String>,
    /// How long the first connection may take.
    pub connect_timeout: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// The path below which the locks are. Keys at or below it are refused and never shown.
    pub lock_root: Key,
    /// Who may use the nodes that this creates.
    pub access: Access,
    /// The files for TLS; `None` for plain TCP.
    pub tls: Option<TlsFiles>,
    /// Who this is; `None` for nobody in particular.
    pub credentials: Option<Credentials>,
}

impl Default for ZooKeeperSettings {
    /// A server on this machine: `127.0.0.1:2181`.
    fn default() -> Self {
        Self {
            connect: vec!["127.0.0.1:2181".to_owned()],
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(5),
            lock_root: read::lock_root_default(),
            access: Access::default(),
            tls: None,
            credentials: None,
        }
    }
}

impl ZooKeeperSettings {
    /// The defaults, for these servers: `"host-1:2181,host-2:2181"`.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration): a text that names no servers.
    pub fn at(connect: &str) -> Result<Self> {
        Ok(Self { connect: endpoints::parse(connect)?, ..Self::default() })
    }

    /// Reads the section that `figment` is focused on.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration): the message names the key, what is wrong, and where it was set.
    pub fn read(figment: &Figment) -> Result<Self> {
        read::read(figment)
    }
}

/// Who may use the nodes that the registry creates: ZooKeeper keeps an access list for each node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Anybody, as other clients of ZooKeeper do where nothing else is asked for.
    #[default]
    Anyone,
    /// Only those who show the same credentials.
    Creator,
}

/// The PEM files for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates of the authorities that sign servers.
    pub ca: PathBuf,
    /// The client's certificate and its key, where servers ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A user and how it is shown to the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// How it is shown.
    pub scheme: Scheme,
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: Secret,
}

/// How a user is shown to the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// ZooKeeper's `digest` scheme: the password goes over the wire, so use TLS as well.
    Digest,
    /// SASL with DIGEST-MD5.
    Sasl,
}

pub(crate) fn refusal(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, Effect::NotApplied, Operation::Connect, BACKEND, message)
}
