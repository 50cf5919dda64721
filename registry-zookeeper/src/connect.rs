//! Dialling: a connection to the servers, with a session of its own or with one that exists.

use std::fs;
use std::path::Path;
use std::time::Duration;

use registry_api::Result;
use tokio::time::Instant;
use zookeeper_client as zk;

use crate::config::{Access, Credentials, Scheme, TlsFiles, ZooKeeperSettings, refusal};
use crate::error::{Failure, Request};

/// Whether the session of a connection is ended with its last handle.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The servers are told, and end it at once.
    WithTheClient,
    /// It goes on until its ttl has passed, or until it is taken up again.
    Detached,
}

/// How to reach the servers: everything that a dial needs, read once.
pub(crate) struct Dialer {
    /// As the client library reads it: it resolves each name anew on every dial.
    servers: String,
    tls: Option<zk::TlsOptions>,
    credentials: Option<Credentials>,
    access: Access,
}

impl Dialer {
    pub(crate) fn new(settings: &ZooKeeperSettings) -> Result<Self> {
        Ok(Self {
            servers: settings.connect.join(","),
            tls: settings.tls.as_ref().map(tls).transpose()?,
            credentials: settings.credentials.clone(),
            access: settings.access,
        })
    }

    /// Opens a session with this ttl, as far as the servers grant it.
    ///
    /// # Cancellation
    ///
    /// A session that was opened already ends with its ttl; nothing belongs to it.
    pub(crate) async fn open(&self, ttl: Duration, ending: Ending, deadline: Instant) -> Result<zk::Client, Failure> {
        self.dial(zk::Client::connector().with_session_timeout(ttl), ending, deadline).await
    }

    /// Takes up a session that exists, on a connection of its own; the connection that it had is ended by the servers.
    pub(crate) async fn resume(
        &self,
        session: zk::SessionInfo,
        ttl: Duration,
        deadline: Instant,
    ) -> Result<zk::Client, Failure> {
        let connector = zk::Client::connector().with_session_timeout(ttl).with_session(session);
        self.dial(connector, Ending::WithTheClient, deadline).await
    }

    async fn dial(
        &self,
        mut connector: zk::Connector,
        ending: Ending,
        deadline: Instant,
    ) -> Result<zk::Client, Failure> {
        if matches!(ending, Ending::Detached) {
            connector = connector.with_detached();
        }
        match &self.credentials {
            Some(Credentials { scheme: Scheme::Digest, user, password }) => {
                let both = format!("{user}:{}", password.reveal());
                connector = connector.with_auth("digest", both.as_bytes());
            }
            Some(Credentials { scheme: Scheme::Sasl, user, password }) => {
                let options = zk::SaslOptions::digest_md5(user.clone(), password.reveal().to_owned());
                connector = connector.with_sasl(options);
            }
            None => {}
        }
        let connect = async {
            match &self.tls {
                Some(tls) => connector.with_tls(tls.clone()).secure_connect(&self.servers).await,
                None => connector.connect(&self.servers).await,
            }
        };
        match tokio::time::timeout_at(deadline, connect).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(Failure::of(error, Request::Reads)),
            Err(_elapsed) => Err(Failure::unreachable()),
        }
    }

    /// How nodes are created.
    pub(crate) fn created(&self, mode: zk::CreateMode) -> zk::CreateOptions<'static> {
        mode.with_acls(match self.access {
            Access::Anyone => zk::Acls::anyone_all(),
            Access::Creator => zk::Acls::creator_all(),
        })
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Dialer").field("servers", &self.servers).finish_non_exhaustive()
    }
}

fn tls(files: &TlsFiles) -> Result<zk::TlsOptions> {
    let refused = |error: zk::Error| refusal(format!("tls: {error}"));
    let options = zk::TlsOptions::new().with_pem_ca(&pem("ca", &files.ca)?).map_err(refused)?;
    match &files.identity {
        None => Ok(options),
        Some((cert, key)) => options.with_pem_identity(&pem("cert", cert)?, &pem("key", key)?).map_err(refused),
    }
}

fn pem(name: &str, file: &Path) -> Result<String> {
    fs::read_to_string(file).map_err(|error| refusal(format!("tls: cannot read {name} {}: {error}", file.display())))
}
