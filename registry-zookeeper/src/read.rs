//! Reading nodes: one key, or many at one moment.

use bytes::Bytes;
use futures::future::{self, try_join};
use registry_api::{Key, Lookup, ReadLevel};
use tokio::time::Instant;
use zookeeper_client as zk;

use crate::call::answer;
use crate::error::{Failure, Request};
use crate::inner::Inner;
use crate::node;
use crate::paths;

/// A node with its data; `None` where there is none.
pub(crate) type Found = Option<(Bytes, zk::Stat)>;

impl Inner {
    pub(crate) async fn get(&self, key: &Key, read: ReadLevel) -> Result<Lookup, Failure> {
        self.check_key(key)?;
        let deadline = self.deadline();
        self.reading(deadline, |client| async move {
            let floor = self.seen.revision();
            // Both requests go out together; the server answers them in order.
            let behind = self.seen.behind(read);
            let sync = behind.map(|_| client.sync("/"));
            let (path, clock) = (paths::of(key), self.layout.clock());
            let asked = [&*path, clock.as_str()];
            let found = nodes(&client, &asked, deadline);
            let (found, sync) = match sync {
                None => (found.await?, None),
                Some(sync) => {
                    let (found, ()) = try_join(found, answer(deadline, Request::Reads, sync)).await?;
                    (found, behind)
                }
            };
            sync.into_iter().for_each(|mark| self.seen.caught_up(mark));
            let latest = found.iter().flatten().map(|(_, stat)| node::latest(stat)).max().unwrap_or_default();
            let found = found.into_iter().next().flatten();
            let entry = found.and_then(|(data, stat)| {
                let value = node::value(data, &stat)?;
                Some(node::entry(key.clone(), value, &stat))
            });
            let revision = latest.max(floor);
            self.seen.note(revision);
            Ok(Lookup { entry, revision })
        })
        .await
        .map_err(|failure| failure.at(key))
    }

    /// Refuses the keys that lie where the locks are.
    pub(crate) fn check_key(&self, key: &Key) -> Result<(), Failure> {
        if self.layout.is_reserved(key) {
            let root = self.layout.lock_root();
            return Err(Failure::invalid(format!("keys at or below {root} are kept for locks (lock_root)")).at(key));
        }
        Ok(())
    }

    /// Makes what the client reads next show at least what was acknowledged before, where `read` asks for it.
    pub(crate) async fn catch_up(
        &self,
        client: &zk::Client,
        read: ReadLevel,
        deadline: Instant,
    ) -> Result<(), Failure> {
        if let Some(mark) = self.seen.behind(read) {
            answer(deadline, Request::Reads, client.sync("/")).await?;
            self.seen.caught_up(mark);
        }
        Ok(())
    }
}

/// Reads these nodes at one moment: a server answers all reads of one request between two transactions.
pub(crate) async fn nodes(client: &zk::Client, paths: &[&str], deadline: Instant) -> Result<Vec<Found>, Failure> {
    let mut reader = client.new_multi_reader();
    for path in paths {
        reader.add_get_data(path).map_err(|error| Failure::of(error, Request::Reads))?;
    }
    let found = answer(deadline, Request::Reads, reader.commit()).await?;
    found.into_iter().map(one).collect()
}

fn one(result: zk::MultiReadResult) -> Result<Found, Failure> {
    match result {
        zk::MultiReadResult::Data { data, stat } => Ok(Some((data.into(), stat))),
        zk::MultiReadResult::Error { err: zk::Error::NoNode } => Ok(None),
        zk::MultiReadResult::Error { err } => Err(Failure::of(err, Request::Reads)),
        other => Err(unexpected(&other)),
    }
}

pub(crate) fn unexpected(result: &zk::MultiReadResult) -> Failure {
    let message = format!("the server answered another question: {result:?}");
    Failure::of(zk::Error::UnexpectedError(message), Request::Reads)
}

/// The stats of these nodes, asked for together: each is of its own moment, none older than the call. They are asked for by the
/// call, not by the first poll: requests that are handed over together go out together.
pub(crate) fn stats<'a>(
    client: &'a zk::Client,
    paths: impl Iterator<Item = &'a str>,
    deadline: Instant,
) -> impl Future<Output = Result<Vec<Option<zk::Stat>>, Failure>> + 'a {
    future::try_join_all(paths.map(|path| answer(deadline, Request::Reads, client.check_stat(path))))
}
