//! A connection to one member.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Channel, Client, ConnectOptions, GetOptions, KvClient, LeaseClient, WatchClient};
use registry_api::Result;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::Address;
use super::look::Look;
use crate::config::{EtcdSettings, Tls, User, refusal};
use crate::error::{Failure, Reason};

/// The longest answer that is read: pages of listings are made to stay below, the events of one revision may not.
const ANSWER_LEN_MAX: usize = 64 * 1024 * 1024;
/// Room for events on one stream, and on all of one connection together, before the server has to wait.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// The server takes more frequent pings for an attack (`--grpc-keepalive-min-time`, 5 s by default) and hangs up: the
/// probes of the supervisor find a silent member much earlier; this only ends connections that nobody looks after.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// How members are dialled.
#[derive(Debug)]
pub(super) struct Dialing {
    endpoints: Vec<Endpoint>,
    addresses: Vec<Address>,
    user: Option<User>,
    /// The longest that one dial may take, and one probe.
    pub(super) patience: Duration,
    probe_key: Vec<u8>,
    look: Look,
}

impl Dialing {
    pub(super) fn new(settings: &EtcdSettings) -> Result<Self> {
        settings.check()?;
        let addresses = settings.addresses()?;
        let tls = settings.tls.as_ref().map(tls_config).transpose()?;
        let endpoints = addresses.iter().map(|address| endpoint(address, tls.as_ref())).collect::<Result<_>>()?;
        let patience = Duration::from_secs(2).min(settings.request_timeout);
        let probe_key = super::probe_key(&settings.lock_root);
        let look = Look::new(settings.tls.as_ref())?;
        Ok(Self { endpoints, addresses, user: settings.user.clone(), patience, probe_key, look })
    }

    pub(super) fn count(&self) -> usize {
        self.endpoints.len()
    }

    /// What is wrong with the way to the members, as far as it can be seen: the first thing that is found.
    pub(super) async fn look(&self) -> Option<String> {
        let looks = self.addresses.iter().map(|address| self.look.at(address));
        futures::future::join_all(looks).await.into_iter().flatten().next()
    }

    /// Connects to one member and asks whether it serves.
    pub(super) async fn dial(&self, at: usize) -> Result<Arc<Link>, Failure> {
        let (Some(endpoint), Some(address)) = (self.endpoints.get(at), self.addresses.get(at)) else {
            return Err(Failure::no_member_serves());
        };
        let dialled = tokio::time::timeout(self.patience, self.connect(endpoint, address, at)).await;
        let link = dialled.map_err(|_late| Failure::interrupted())??;
        link.probe(self.patience).await?;
        Ok(link)
    }

    async fn connect(&self, endpoint: &Endpoint, address: &Address, at: usize) -> Result<Arc<Link>, Failure> {
        let channel = endpoint.connect().await.map_err(etcd_client::Error::TransportError)?;
        let mut options = ConnectOptions::new().with_require_leader(true);
        if let Some(user) = &self.user {
            options = options.with_user(user.name.clone(), user.password.clone()).with_auto_token_refresh(true);
        }
        let client = Client::from_channel(Channel::Tonic(channel), Some(options)).await?;
        Ok(Arc::new(Link {
            client,
            address: address.to_string(),
            at,
            doubted: Notify::new(),
            ended: CancellationToken::new(),
            probe_key: self.probe_key.clone(),
        }))
    }
}

fn endpoint(address: &Address, tls: Option<&ClientTlsConfig>) -> Result<Endpoint> {
    let endpoint = Endpoint::from(address.uri().clone())
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    match tls {
        Some(tls) => endpoint.tls_config(tls.clone()).map_err(|error| refusal(format!("tls: {error}"))),
        None => Ok(endpoint),
    }
}

fn tls_config(tls: &Tls) -> Result<ClientTlsConfig> {
    let read = |name: &str, path: &std::path::PathBuf| {
        std::fs::read(path).map_err(|error| refusal(format!("tls.{name} {}: {error}", path.display())))
    };
    let mut config = ClientTlsConfig::new();
    if let Some(ca) = &tls.ca {
        config = config.ca_certificate(Certificate::from_pem(read("ca", ca)?));
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        config = config.identity(Identity::from_pem(read("cert", cert)?, read("key", key)?));
    }
    if let Some(domain) = &tls.domain {
        config = config.domain_name(domain.clone());
    }
    Ok(config)
}

/// A connection to one member that was seen to serve.
pub(crate) struct Link {
    client: Client,
    address: String,
    /// Which of the endpoints.
    at: usize,
    doubted: Notify,
    ended: CancellationToken,
    probe_key: Vec<u8>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn kv(&self) -> KvClient {
        self.client.kv_client().max_decoding_message_size(ANSWER_LEN_MAX)
    }

    pub(crate) fn lease(&self) -> LeaseClient {
        self.client.lease_client()
    }

    pub(crate) fn watch(&self) -> WatchClient {
        self.client.watch_client().max_decoding_message_size(ANSWER_LEN_MAX)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Tells the supervisor that a request failed here: it looks at once.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }

    pub(super) async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// Resolves when the supervisor has given the member up.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    /// Asks for a read that a quorum confirms: whether the member can serve.
    pub(super) async fn probe(&self, patience: Duration) -> Result<(), Failure> {
        let options = GetOptions::new().with_count_only();
        let mut kv = self.kv();
        let answer = tokio::time::timeout(patience, kv.get(self.probe_key.clone(), Some(options))).await;
        match answer.map_err(|_late| Failure::unanswered())? {
            Ok(_) => Ok(()),
            Err(error) => {
                let failure = Failure::from(error);
                // Who may not read the probed key is told so after the quorum was asked.
                if failure.reason == Reason::Denied { Ok(()) } else { Err(failure) }
            }
        }
    }
}
