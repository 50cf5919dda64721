//! Locks, laid out as Apache Curator's `InterProcessMutex` lays them out, so that both exclude each other: below the base
//! path of a lock each request has an ephemeral sequential node, and the first in order of the sequence holds the lock.

mod acquire;
mod place;
mod queue;

use std::time::Duration;

use bytes::Bytes;
use registry_api::{FencingToken, LockGrant, LockName, LockStatus, ReadLevel, Waiter};
use tokio::time::Instant;
use zookeeper_client as zk;

use self::queue::in_order;
use crate::call::answer;
use crate::error::{Failure, Request};
use crate::inner::Inner;
use crate::node::{self, Kind};
use crate::paths;
use crate::read;

/// How many places are looked at by one request.
const PART_LEN: usize = 1000;
/// How long the connection of a session may take to give a lock back, before the shared one does.
const OWN_CONNECTION_WITHIN: Duration = Duration::from_secs(1);

/// A request in the queue of a lock.
struct Placed {
    path: String,
    stat: zk::Stat,
}

impl Inner {
    pub(crate) async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus, Failure> {
        let deadline = self.deadline();
        let read = |client: zk::Client| async move {
            let floor = self.seen.revision();
            self.catch_up(&client, ReadLevel::Linearizable, deadline).await?;
            Ok((self.queue(&client, name, deadline).await?, floor))
        };
        let (queue, floor) = self.reading(deadline, read).await?;
        let latest = queue.iter().map(|placed| node::latest(&placed.stat)).max().unwrap_or_default();
        let mut owners = queue.iter().filter_map(|placed| match node::kind(&placed.stat) {
            Kind::Ephemeral(owner) => Some((owner, FencingToken::new(node::revision(placed.stat.czxid)))),
            Kind::Persistent | Kind::Container => None,
        });
        let holder = owners.next().map(|(session, token)| LockGrant { name: name.clone(), session, token });
        let waiters = owners.map(|(session, _)| Waiter { session, waiting_for: None }).collect();
        let revision = latest.max(floor);
        self.seen.note(revision);
        Ok(LockStatus { revision, holder, held_for: None, waiters })
    }

    /// Gives a lock back: deletes the node of the grant, whoever asks.
    pub(crate) async fn release(&self, grant: &LockGrant) -> Result<(), Failure> {
        let deadline = self.deadline();
        let known = &self.sessions.take_place(grant);
        if let Some(path) = known
            && self.release_over_own(grant, path, deadline).await
        {
            return Ok(());
        }
        let released = self.reading(deadline, |client| async move {
            let found = match known {
                Some(_) => known.clone(),
                None => self.find_place(&client, grant, deadline).await?,
            };
            let Some(path) = found else { return Ok(false) };
            match answer(deadline, Request::Changes, client.delete(&path, None)).await {
                // What was found a moment ago went just now: by this call, or at the same time.
                Err(failure) if failure.is(&zk::Error::NoNode) => Ok(known.is_none()),
                Err(failure) => Err(failure),
                Ok(()) => Ok(true),
            }
        });
        if released.await? || self.sessions.find(grant.session).is_ok() || self.has_sign(grant, deadline).await? {
            return Ok(());
        }
        Err(Failure::lock_lost())
    }

    /// Deletes the node of a grant over the connection of its session: on the shared one, sessions wait for each other.
    /// `false`: no answer came in time, and the same may be asked again elsewhere.
    async fn release_over_own(&self, grant: &LockGrant, path: &str, deadline: Instant) -> bool {
        let session = self.sessions.find(grant.session).ok();
        let Some(client) = session.and_then(|session| session.connected_client()) else { return false };
        let until = deadline.min(Instant::now() + OWN_CONNECTION_WITHIN);
        answer(until, Request::Changes, client.delete(path, None)).await.is_ok()
    }

    /// Whether the session of a grant, opened by another client, lives.
    async fn has_sign(&self, grant: &LockGrant, deadline: Instant) -> Result<bool, Failure> {
        let path = &self.layout.session(grant.session);
        let look = |client: zk::Client| async move {
            Ok(answer(deadline, Request::Reads, client.check_stat(path)).await?.is_some())
        };
        self.reading(deadline, look).await
    }

    /// The node of a grant that is still held; `None` where it is not.
    pub(crate) async fn find_place(
        &self,
        client: &zk::Client,
        grant: &LockGrant,
        deadline: Instant,
    ) -> Result<Option<String>, Failure> {
        self.catch_up(client, ReadLevel::Linearizable, deadline).await?;
        let queue = self.queue(client, &grant.name, deadline).await?;
        let token = grant.token.revision();
        let held = queue.into_iter().find(|placed| {
            node::revision(placed.stat.czxid) == token && node::kind(&placed.stat) == Kind::Ephemeral(grant.session)
        });
        Ok(held.map(|placed| placed.path))
    }

    /// Everybody in the queue of a lock, in order.
    async fn queue(&self, client: &zk::Client, name: &LockName, deadline: Instant) -> Result<Vec<Placed>, Failure> {
        let base = self.layout.lock(name);
        let names = match answer(deadline, Request::Reads, client.list_children(&base)).await {
            Err(failure) if failure.is(&zk::Error::NoNode) => return Ok(Vec::new()),
            names => in_order(names?),
        };
        let paths: Vec<_> = names.iter().map(|name| paths::child(&base, name)).collect();
        let mut queue = Vec::new();
        for part in paths.chunks(PART_LEN) {
            let asked: Vec<_> = part.iter().map(String::as_str).collect();
            let found: Vec<Option<(Bytes, zk::Stat)>> = read::nodes(client, &asked, deadline).await?;
            let found = part.iter().zip(found);
            queue.extend(found.filter_map(|(path, found)| Some(Placed { path: path.clone(), stat: found?.1 })));
        }
        Ok(queue)
    }
}
