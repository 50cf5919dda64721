//! The client libraries, asked for just what our backends ask them for: what is left of a difference is what our code costs.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use etcd_client::{
    Compare, CompareOp, GetOptions, PutOptions, ResponseHeader, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
    WatchFilterType, WatchOptions,
};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use registry_api::{Key, LockName, ReadLevel};
use zookeeper_client as zk;

use crate::cluster::{Cluster, Kind};
use crate::raw;
use crate::store::{HERE, Store, Values};
use crate::{Outcome, line};

/// A connection of its own to these servers; `None` where there is no library below.
pub(crate) async fn connect(cluster: &Cluster) -> Outcome<Option<Arc<dyn Store>>> {
    Ok(match cluster.kind() {
        Kind::Raft => None,
        Kind::Etcd => Some(Arc::new(Etcd(raw::Etcd::connect(cluster).await?))),
        Kind::ZooKeeper => {
            let (client, session) = (raw::zookeeper(cluster).await?, raw::zookeeper(cluster).await?);
            let clock: Key = CLOCK.parse().map_err(line)?;
            if client.check_stat(CLOCK).await.map_err(line)?.is_none() {
                // Whoever comes second finds it there.
                let _ = raw::create(&client, &clock, b"", zk::CreateMode::Persistent).await;
            }
            Some(Arc::new(ZooKeeper { client, session }))
        }
    })
}

struct Etcd(raw::Etcd);

impl Etcd {
    /// Commits this if all comparisons hold; asks for the keys otherwise.
    async fn commit(&self, compares: Vec<Compare>, operation: TxnOp, keys: Vec<String>) -> Outcome<()> {
        let keys = keys.into_iter().map(|key| TxnOp::get(key, Some(GetOptions::new().with_keys_only())));
        let txn = Txn::new().when(compares).and_then([operation]).or_else(keys.collect::<Vec<_>>());
        let answer = self.0.client.kv_client().txn(txn).await.map_err(line)?;
        if answer.succeeded() { Ok(()) } else { Err("it was refused".to_owned()) }
    }

    /// The place before this one, and the revision that shows it; `None`: it is the first.
    async fn before(&self, place: &str, queue: &str, token: i64) -> Outcome<Option<(Vec<u8>, i64)>> {
        let before = GetOptions::new().with_prefix().with_max_create_revision(token - 1).with_keys_only();
        let before = before.with_sort(SortTarget::Create, SortOrder::Descend).with_limit(16);
        let own = TxnOp::get(place, Some(GetOptions::new().with_keys_only()));
        let look = Txn::new().and_then([own, TxnOp::get(queue, Some(before))]);
        let answer = self.0.client.kv_client().txn(look).await.map_err(line)?;
        let seen = answer.header().map_or(0, ResponseHeader::revision);
        Ok(match answer.op_responses().pop() {
            Some(TxnOpResponse::Get(places)) => places.kvs().first().map(|place| (place.key().to_vec(), seen)),
            _ => None,
        })
    }
}

fn not_ephemeral(key: &Key) -> Compare {
    Compare::lease(key.as_str(), CompareOp::Equal, 0)
}

#[async_trait]
impl Store for Etcd {
    /// Neither the key nor one above it may be ephemeral.
    async fn put(&self, key: &Key, value: Bytes) -> Outcome<()> {
        let compares = key.ancestors().chain([key.clone()]).map(|key| not_ephemeral(&key)).collect();
        let keys = [key.clone()].into_iter().chain(key.ancestors()).map(|key| key.to_string()).collect();
        self.commit(compares, TxnOp::put(key.as_str(), value, None), keys).await
    }

    /// Nothing is added.
    async fn get(&self, key: &Key, level: ReadLevel) -> Outcome<()> {
        self.0.get(key, level).await
    }

    /// The key is absent, has nothing below it, and none above it is ephemeral.
    async fn come_and_go(&self, key: &Key) -> Outcome<()> {
        let lease = self.0.lease().await?;
        let mut compares: Vec<_> = key.ancestors().map(|key| not_ephemeral(&key)).collect();
        compares.push(Compare::create_revision(key.as_str(), CompareOp::Equal, 0));
        let below = (format!("{key}/"), format!("{key}0"));
        compares.push(Compare::create_revision(below.0, CompareOp::Equal, 0).with_range(below.1));
        let keys = [key.clone()].into_iter().chain(key.ancestors()).map(|key| key.to_string()).collect();
        let put = TxnOp::put(key.as_str(), HERE, Some(PutOptions::new().with_lease(lease)));
        self.commit(compares, put, keys).await?;
        self.commit(Vec::new(), TxnOp::delete(key.as_str(), None), vec![key.to_string()]).await
    }

    /// A place in the queue, looks at the one before it until there is none, and the end of the place.
    async fn hold(&self, name: &LockName, held: &(dyn Fn() + Sync)) -> Outcome<()> {
        let lease = self.0.lease().await?;
        let mut kv = self.0.client.kv_client();
        let (queue, place) = (format!("/bench/queues{name}/"), format!("/bench/queues{name}/{lease:x}"));
        let created = |operator, revision| Compare::create_revision(place.clone(), operator, revision);
        let join = TxnOp::put(place.clone(), HERE, Some(PutOptions::new().with_lease(lease)));
        let look = TxnOp::get(place.clone(), None);
        let joined = Txn::new().when([created(CompareOp::Equal, 0)]).and_then([join]).or_else([look]);
        let token = kv.txn(joined).await.map_err(line)?.header().map_or(0, ResponseHeader::revision);
        while let Some((before, seen)) = self.before(&place, &queue, token).await? {
            let options = WatchOptions::new().with_start_revision(seen + 1).with_filters([WatchFilterType::NoPut]);
            let mut watch = self.0.client.watch_client().watch(before, Some(options.clone())).await.map_err(line)?;
            watch.watch(place.clone(), Some(options)).await.map_err(line)?;
            while watch.message().await.map_err(line)?.is_some_and(|told| told.events().is_empty()) {}
        }
        held();
        let leave = Txn::new().when([created(CompareOp::Equal, token)]).and_then([TxnOp::delete(place.clone(), None)]);
        let left = kv.txn(leave).await.map_err(line)?;
        if left.succeeded() { Ok(()) } else { Err(format!("{name} was not held")) }
    }

    /// With what each key was before.
    async fn subscribe(&self, parent: &Key) -> Outcome<Values> {
        self.0.watch(parent, WatchOptions::new().with_prev_key().with_progress_notify()).await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// What every change writes, as our backend's clock is.
const CLOCK: &str = "/bench/clock";

/// A connection for everything, and that of the session which ephemeral nodes belong to.
struct ZooKeeper {
    client: zk::Client,
    session: zk::Client,
}

#[async_trait]
impl Store for ZooKeeper {
    /// What is there is looked at, and changed if it is still the same; the clock with it.
    async fn put(&self, key: &Key, value: Bytes) -> Outcome<()> {
        let (sync, look) = (self.client.sync("/"), self.client.check_stat(key.as_str()));
        let ((), seen) = futures::try_join!(sync, look).map_err(line)?;
        let Some(seen) = seen else {
            return raw::create(&self.client, key, &value, zk::CreateMode::Persistent).await;
        };
        let mut multi = self.client.new_multi_writer();
        multi.add_set_data(key.as_str(), &value, Some(seen.version)).map_err(line)?;
        multi.add_set_data(CLOCK, b"", None).map_err(line)?;
        multi.commit().await.map(drop).map_err(line)
    }

    /// The key and the clock are read together.
    async fn get(&self, key: &Key, level: ReadLevel) -> Outcome<()> {
        let synced = (level == ReadLevel::Linearizable).then(|| self.client.sync("/"));
        let mut read = self.client.new_multi_reader();
        read.add_get_data(key.as_str()).map_err(line)?;
        read.add_get_data(CLOCK).map_err(line)?;
        match synced {
            Some(synced) => futures::try_join!(synced, read.commit()).map(drop).map_err(line),
            None => read.commit().await.map(drop).map_err(line),
        }
    }

    async fn come_and_go(&self, key: &Key) -> Outcome<()> {
        if look(&self.session, key).await?.1.is_some() {
            let mut multi = self.session.new_multi_writer();
            let options = zk::CreateMode::Ephemeral.with_acls(zk::Acls::anyone_all());
            multi.add_create(key.as_str(), HERE, &options).map_err(line)?;
            multi.add_set_data(CLOCK, b"", None).map_err(line)?;
            multi.commit().await.map_err(line)?;
        } else {
            raw::create(&self.session, key, HERE, zk::CreateMode::Ephemeral).await?;
        }
        let version = look(&self.client, key).await?.0.map(|seen| seen.version);
        let mut multi = self.client.new_multi_writer();
        multi.add_delete(key.as_str(), version).map_err(line)?;
        multi.add_set_data(CLOCK, b"", None).map_err(line)?;
        multi.commit().await.map(drop).map_err(line)
    }

    async fn hold(&self, name: &LockName, held: &(dyn Fn() + Sync)) -> Outcome<()> {
        raw::hold(&self.session, name, held).await
    }

    /// All that the watch has told of is read at once.
    async fn subscribe(&self, parent: &Key) -> Outcome<Values> {
        let watch = self.client.watch(parent.as_str(), zk::AddWatchMode::PersistentRecursive).await.map_err(line)?;
        let next = async |(client, mut watch): (zk::Client, zk::PersistentWatcher)| {
            let told = changed(&mut watch).await?;
            let mut read = client.new_multi_reader();
            for path in &told {
                read.add_get_data(path).map_err(line)?;
            }
            let found = read.commit().await.map_err(line)?.into_iter().filter_map(|found| match found {
                zk::MultiReadResult::Data { data, .. } => Some(Ok(Bytes::from(data))),
                _ => None,
            });
            Ok::<_, String>(Some((futures::stream::iter(found.collect::<Vec<_>>()), (client, watch))))
        };
        Ok(futures::stream::try_unfold((self.client.clone(), watch), next).try_flatten().boxed())
    }

    async fn close(&self) {}
}

/// The nodes that a watch tells of: waits for the first, and takes what else is there.
async fn changed(watch: &mut zk::PersistentWatcher) -> Outcome<BTreeSet<String>> {
    let (mut told, mut next) = (BTreeSet::new(), Some(watch.changed().await));
    while let Some(event) = next {
        match event.event_type {
            zk::EventType::NodeCreated | zk::EventType::NodeDataChanged => drop(told.insert(event.path)),
            zk::EventType::Session => return Err("a watch was interrupted".to_owned()),
            _ => {}
        }
        next = watch.changed().now_or_never();
    }
    Ok(told)
}

/// The node and its parent, as they are no earlier than now.
async fn look(client: &zk::Client, key: &Key) -> Outcome<(Option<zk::Stat>, Option<zk::Stat>)> {
    let parent = key.parent().ok_or("a key at the top")?;
    let stats = (client.check_stat(key.as_str()), client.check_stat(parent.as_str()));
    let ((), key, parent) = futures::try_join!(client.sync("/"), stats.0, stats.1).map_err(line)?;
    Ok((key, parent))
}
