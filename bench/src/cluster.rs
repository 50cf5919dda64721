//! A cluster that is measured: three servers, started and killed here, whatever they are.

mod containers;
mod fleet;

use std::time::{Duration, Instant};

use figment::Figment;
use figment::providers::{Format as _, Toml};
use registry_api::{Plugins, RegistryClient};
use registry_etcd::EtcdPlugin;
use registry_raft::RaftPlugin;
use registry_zookeeper::ZooKeeperPlugin;

use crate::{Outcome, line, probe, workload};

pub(crate) use containers::{Containers, Description};
pub(crate) use fleet::{Fleet, free_ports};

/// How long servers may take until they serve, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// The ttl of every session.
pub(crate) const TTL: Duration = Duration::from_secs(10);

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Raft,
    ZooKeeper,
    Etcd,
}

/// The servers of one kind.
#[derive(Debug)]
pub(crate) enum Cluster {
    /// Members of raft, as processes of this program.
    Fleet(Fleet),
    /// Servers of others.
    Containers(Containers),
}

impl Cluster {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Fleet(_) => Kind::Raft,
            Self::Containers(containers) => containers.kind(),
        }
    }

    /// As in the configuration key `backend`.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind() {
            Kind::Raft => "raft",
            Kind::ZooKeeper => "zookeeper",
            Kind::Etcd => "etcd",
        }
    }

    pub(crate) fn version(&self) -> &str {
        match self {
            Self::Fleet(_) => env!("CARGO_PKG_VERSION"),
            Self::Containers(containers) => containers.version(),
        }
    }

    /// Replaces the servers by new ones without data, and waits until they serve.
    pub(crate) async fn renew(&mut self) -> Outcome<()> {
        self.clear().await?;
        self.launch().await?;
        self.serving().await.map(drop)
    }

    /// Removes the servers and what they kept.
    pub(crate) async fn clear(&mut self) -> Outcome<()> {
        match self {
            Self::Fleet(fleet) => fleet.clear().await,
            Self::Containers(containers) => containers.clear().await,
        }
    }

    /// Starts servers without data.
    pub(crate) async fn launch(&mut self) -> Outcome<()> {
        match self {
            Self::Fleet(fleet) => fleet.launch(),
            Self::Containers(containers) => containers.launch().await,
        }
    }

    /// Kills servers as `kill -9` does.
    pub(crate) async fn kill(&mut self, servers: &[usize]) -> Outcome<()> {
        match self {
            Self::Fleet(fleet) => fleet.kill(servers).await,
            Self::Containers(containers) => containers.kill(servers).await,
        }
    }

    /// Starts servers that were killed, with the data that they had.
    pub(crate) async fn start(&mut self, servers: &[usize]) -> Outcome<()> {
        match self {
            Self::Fleet(fleet) => fleet.start(servers),
            Self::Containers(containers) => containers.start(servers).await,
        }
    }

    /// `host:port` of each server.
    pub(crate) fn addresses(&self) -> Vec<String> {
        match self {
            Self::Fleet(fleet) => fleet.addresses(),
            Self::Containers(containers) => containers.addresses(),
        }
    }

    /// The processes of the servers that run.
    pub(crate) fn processes(&self) -> Vec<u32> {
        match self {
            Self::Fleet(fleet) => fleet.processes(),
            Self::Containers(containers) => containers.processes(),
        }
    }

    /// The configuration of a client.
    pub(crate) fn config(&self) -> String {
        let (name, seconds) = (self.name(), TTL.as_secs());
        let section = match self {
            Self::Fleet(fleet) => fleet.client_section(),
            Self::Containers(containers) => containers.section().to_owned(),
        };
        format!("[registry]\nbackend = \"{name}\"\nsession_ttl = \"{seconds}s\"\n{section}")
    }

    /// A client with a connection of its own.
    pub(crate) async fn connect(&self) -> Outcome<RegistryClient> {
        connect(&self.config()).await
    }

    /// Waits until a write succeeds, to the first of the keys that a store is filled with; how long that took.
    pub(crate) async fn serving(&self) -> Outcome<Duration> {
        let (start, key) = (Instant::now(), workload::key(0)?);
        loop {
            let wrote = async {
                let client = self.connect().await?;
                let written = client.put(&key, workload::value()).await.map_err(line);
                let _ = client.close().await;
                written
            };
            match wrote.await {
                Ok(_) => return Ok(start.elapsed()),
                Err(error) if start.elapsed() > PATIENCE => {
                    return Err(format!("{} does not serve within {PATIENCE:?}: {error}", self.name()));
                }
                Err(_) => tokio::time::sleep(LOOK_INTERVAL).await,
            }
        }
    }

    /// Which server leads, once one does.
    pub(crate) async fn leader(&self) -> Outcome<usize> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            for (index, address) in self.addresses().iter().enumerate() {
                if probe::leads(self.kind(), address).await == Some(true) {
                    return Ok(index);
                }
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Err(format!("nobody leads {} within {PATIENCE:?}", self.name()))
    }

    /// Waits until every server answers, after some were started.
    pub(crate) async fn complete(&self) -> Outcome<()> {
        let start = Instant::now();
        for address in self.addresses() {
            while probe::leads(self.kind(), &address).await.is_none() {
                if start.elapsed() > PATIENCE {
                    return Err(format!("{} at {address} does not answer within {PATIENCE:?}", self.name()));
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
        self.serving().await.map(drop)
    }

    /// How often all servers together have flushed their logs; `None` where one does not tell.
    pub(crate) async fn fsyncs(&self) -> Option<f64> {
        let mut sum = 0.0;
        for address in self.addresses() {
            sum += probe::fsyncs(self.kind(), &address).await?;
        }
        Some(sum)
    }

    /// How many requests all servers together have taken.
    pub(crate) async fn requests(&self) -> Option<f64> {
        let mut sum = 0.0;
        for address in self.addresses() {
            sum += probe::requests(self.kind(), &address).await?;
        }
        Some(sum)
    }
}

/// A client of the backend that this configuration names.
pub(crate) async fn connect(config: &str) -> Outcome<RegistryClient> {
    let plugins = Plugins::new().with(RaftPlugin::new()).with(ZooKeeperPlugin).with(EtcdPlugin);
    plugins.connect(Figment::from(Toml::string(config)).focus("registry")).await.map_err(line)
}
