//! The client libraries below the backends, so that what our backends add to them shows.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use registry_api::{Key, LockName, ReadLevel};
use tokio::sync::OnceCell;
use zookeeper_client as zk;

use crate::cluster::{Cluster, Kind, TTL};
use crate::store::{HERE, Store};
use crate::{Outcome, line};

/// A connection of its own to these servers; `None` where there is no library below.
pub(crate) async fn connect(cluster: &Cluster) -> Outcome<Option<Arc<dyn Store>>> {
    Ok(match cluster.kind() {
        Kind::Raft => None,
        Kind::Etcd => Some(Arc::new(Etcd::connect(cluster).await?)),
        Kind::ZooKeeper => Some(Arc::new(ZooKeeper(zookeeper(cluster).await?))),
    })
}

/// A client of ZooKeeper.
pub(crate) async fn zookeeper(cluster: &Cluster) -> Outcome<zk::Client> {
    let connector = zk::Client::connector().with_session_timeout(TTL);
    connector.connect(&cluster.addresses().join(",")).await.map_err(line)
}

/// Seconds that a lease lasts which nobody keeps alive: longer than any run.
const LEASE_S: i64 = 600;

pub(crate) struct Etcd {
    pub(crate) client: etcd_client::Client,
    lease: OnceCell<i64>,
}

impl Etcd {
    pub(crate) async fn connect(cluster: &Cluster) -> Outcome<Self> {
        let client = etcd_client::Client::connect(cluster.addresses(), None).await.map_err(line)?;
        Ok(Self { client, lease: OnceCell::new() })
    }

    /// The lease of everything ephemeral.
    pub(crate) async fn lease(&self) -> Outcome<i64> {
        let grant = async || Ok(self.client.lease_client().grant(LEASE_S, None).await.map_err(line)?.id());
        self.lease.get_or_try_init(grant).await.copied()
    }
}

#[async_trait]
impl Store for Etcd {
    async fn put(&self, key: &Key, value: Bytes) -> Outcome<()> {
        self.client.kv_client().put(key.as_str(), value, None).await.map(drop).map_err(line)
    }

    async fn get(&self, key: &Key, level: ReadLevel) -> Outcome<()> {
        let options = (level == ReadLevel::Stale).then(|| etcd_client::GetOptions::new().with_serializable());
        let found = self.client.kv_client().get(key.as_str(), options).await.map_err(line)?;
        found.kvs().first().map(drop).ok_or_else(|| format!("{key} is not there"))
    }

    async fn come_and_go(&self, key: &Key) -> Outcome<()> {
        let lease = self.lease().await?;
        let options = etcd_client::PutOptions::new().with_lease(lease);
        let mut kv = self.client.kv_client();
        kv.put(key.as_str(), HERE, Some(options)).await.map_err(line)?;
        kv.delete(key.as_str(), None).await.map(drop).map_err(line)
    }

    async fn hold(&self, name: &LockName) -> Outcome<()> {
        let lease = self.lease().await?;
        let mut locks = self.client.lock_client();
        let options = etcd_client::LockOptions::new().with_lease(lease);
        let held = locks.lock(name.to_string(), Some(options)).await.map_err(line)?;
        locks.unlock(held.key()).await.map(drop).map_err(line)
    }

    async fn close(&self) {
        if let Some(lease) = self.lease.get() {
            let _ = self.client.lease_client().revoke(*lease).await;
        }
    }
}

struct ZooKeeper(zk::Client);

#[async_trait]
impl Store for ZooKeeper {
    /// A node is created once, with its ancestors; from then on only its value is set.
    async fn put(&self, key: &Key, value: Bytes) -> Outcome<()> {
        match self.0.set_data(key.as_str(), &value, None).await {
            Err(zk::Error::NoNode) => {}
            written => return written.map(drop).map_err(line),
        }
        create(&self.0, key, &value, zk::CreateMode::Persistent).await
    }

    /// `sync` and a read on the same connection, which is what a linearizable read costs here.
    async fn get(&self, key: &Key, level: ReadLevel) -> Outcome<()> {
        let synced = (level == ReadLevel::Linearizable).then(|| self.0.sync(key.as_str()));
        let read = self.0.get_data(key.as_str());
        match synced {
            Some(synced) => futures::try_join!(synced, read).map(drop).map_err(line),
            None => read.await.map(drop).map_err(line),
        }
    }

    async fn come_and_go(&self, key: &Key) -> Outcome<()> {
        create(&self.0, key, HERE, zk::CreateMode::Ephemeral).await?;
        self.0.delete(key.as_str(), None).await.map_err(line)
    }

    async fn hold(&self, name: &LockName) -> Outcome<()> {
        hold(&self.0, name).await
    }

    async fn close(&self) {}
}

/// Creates a node, and where they are missing those above it.
pub(crate) async fn create(client: &zk::Client, key: &Key, value: &[u8], mode: zk::CreateMode) -> Outcome<()> {
    let acls = zk::Acls::anyone_all();
    match client.create(key.as_str(), value, &mode.with_acls(acls)).await {
        Err(zk::Error::NoNode) => {}
        created => return created.map(drop).map_err(line),
    }
    if let Some(parent) = key.parent() {
        client.mkdir(parent.as_str(), &zk::CreateMode::Persistent.with_acls(acls)).await.map_err(line)?;
    }
    client.create(key.as_str(), value, &mode.with_acls(acls)).await.map(drop).map_err(line)
}

/// Joins the queue of a lock, sees that nobody is before, and leaves, as Apache Curator does.
pub(crate) async fn hold(client: &zk::Client, name: &LockName) -> Outcome<()> {
    let (base, acls) = (format!("/bench/queues{name}"), zk::Acls::anyone_all());
    let (place, mode) = (format!("{base}/lock-"), zk::CreateMode::EphemeralSequential);
    let joined = match client.create(&place, b"", &mode.with_acls(acls)).await {
        Err(zk::Error::NoNode) => {
            client.mkdir(&base, &zk::CreateMode::Persistent.with_acls(acls)).await.map_err(line)?;
            client.create(&place, b"", &mode.with_acls(acls)).await
        }
        joined => joined,
    };
    let (_, sequence) = joined.map_err(line)?;
    match client.list_children(&base).await.map_err(line)?.len() {
        1 => client.delete(&format!("{place}{sequence}"), None).await.map_err(line),
        others => Err(format!("{others} wait for {name}")),
    }
}
