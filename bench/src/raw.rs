//! The client libraries below the backends, so that what our backends add to them shows.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use registry_api::{Key, LockName, ReadLevel};
use tokio::sync::OnceCell;
use zookeeper_client as zk;

use crate::cluster::{Cluster, Kind, TTL};
use crate::store::{HERE, Store, Values};
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

    /// The values that are put below a key.
    pub(crate) async fn watch(&self, parent: &Key, options: etcd_client::WatchOptions) -> Outcome<Values> {
        let below = format!("{parent}/");
        let stream = self.client.watch_client().watch(below, Some(options.with_prefix())).await.map_err(line)?;
        let values = |response: etcd_client::WatchResponse| {
            let values = response.events().iter().filter_map(|event| event.kv());
            let values: Vec<_> = values.map(|kv| Ok(Bytes::copy_from_slice(kv.value()))).collect();
            futures::stream::iter(values)
        };
        Ok(stream.map_err(line).map_ok(values).try_flatten().boxed())
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

    async fn hold(&self, name: &LockName, held: &(dyn Fn() + Sync)) -> Outcome<()> {
        let lease = self.lease().await?;
        let mut locks = self.client.lock_client();
        let options = etcd_client::LockOptions::new().with_lease(lease);
        let lock = locks.lock(name.to_string(), Some(options)).await.map_err(line)?;
        held();
        locks.unlock(lock.key()).await.map(drop).map_err(line)
    }

    async fn subscribe(&self, parent: &Key) -> Outcome<Values> {
        self.watch(parent, etcd_client::WatchOptions::new()).await
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

    async fn hold(&self, name: &LockName, held: &(dyn Fn() + Sync)) -> Outcome<()> {
        hold(&self.0, name, held).await
    }

    /// Each change that the watch tells of is read.
    async fn subscribe(&self, parent: &Key) -> Outcome<Values> {
        let watch = self.0.watch(parent.as_str(), zk::AddWatchMode::PersistentRecursive).await.map_err(line)?;
        let next = async |(client, mut watch): (zk::Client, zk::PersistentWatcher)| loop {
            let event = watch.changed().await;
            match event.event_type {
                zk::EventType::NodeCreated | zk::EventType::NodeDataChanged => {
                    let (value, _stat) = client.get_data(&event.path).await.map_err(line)?;
                    return Ok(Some((Bytes::from(value), (client, watch))));
                }
                zk::EventType::Session => return Err("a watch was interrupted".to_owned()),
                _ => {}
            }
        };
        Ok(futures::stream::try_unfold((self.0.clone(), watch), next).boxed())
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

/// Joins the queue of a lock, waits until nobody is before, and leaves, as Apache Curator does.
pub(crate) async fn hold(client: &zk::Client, name: &LockName, held: &(dyn Fn() + Sync)) -> Outcome<()> {
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
    let own = format!("{place}{sequence}");
    while let Some(before) = before(client, &base, &own).await? {
        match client.get_and_watch_data(&before).await {
            Ok((_, _, gone)) => drop(gone.changed().await),
            Err(zk::Error::NoNode) => {}
            Err(error) => return Err(line(error)),
        }
    }
    held();
    client.delete(&own, None).await.map_err(line)
}

/// The place before this one; `None`: it is the first.
async fn before(client: &zk::Client, base: &str, own: &str) -> Outcome<Option<String>> {
    let places = client.list_children(base).await.map_err(line)?;
    Ok(places.into_iter().map(|name| format!("{base}/{name}")).filter(|place| place.as_str() < own).max())
}
