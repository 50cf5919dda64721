//! The client libraries below the backends, so that what our backends add to them shows.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use registry_api::{Key, ReadLevel};
use zookeeper_client as zk;

use crate::cluster::{Cluster, Kind, TTL};
use crate::store::Store;
use crate::{Outcome, line};

/// A connection of its own to these servers; `None` where there is no library below.
pub(crate) async fn connect(cluster: &Cluster) -> Outcome<Option<Arc<dyn Store>>> {
    Ok(match cluster.kind() {
        Kind::Raft => None,
        Kind::Etcd => {
            Some(Arc::new(Etcd(etcd_client::Client::connect(cluster.addresses(), None).await.map_err(line)?)))
        }
        Kind::ZooKeeper => {
            let connector = zk::Client::connector().with_session_timeout(TTL);
            Some(Arc::new(ZooKeeper(connector.connect(&cluster.addresses().join(",")).await.map_err(line)?)))
        }
    })
}

struct Etcd(etcd_client::Client);

#[async_trait]
impl Store for Etcd {
    async fn put(&self, key: &Key, value: Bytes) -> Outcome<()> {
        self.0.kv_client().put(key.as_str(), value, None).await.map(drop).map_err(line)
    }

    async fn get(&self, key: &Key, level: ReadLevel) -> Outcome<()> {
        let options = (level == ReadLevel::Stale).then(|| etcd_client::GetOptions::new().with_serializable());
        let found = self.0.kv_client().get(key.as_str(), options).await.map_err(line)?;
        found.kvs().first().map(drop).ok_or_else(|| format!("{key} is not there"))
    }

    async fn close(&self) {}
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
        let options = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
        if let Some(parent) = key.parent() {
            self.0.mkdir(parent.as_str(), &options).await.map_err(line)?;
        }
        self.0.create(key.as_str(), &value, &options).await.map(drop).map_err(line)
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

    async fn close(&self) {}
}
