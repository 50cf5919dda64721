//! One request in the queue of a lock: its node is created once, and deleted when nobody waits for it any more.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zookeeper_client as zk;

use super::queue;
use crate::call::answer;
use crate::error::{Failure, Request};
use crate::inner::Inner;
use crate::paths;
use crate::session::Session;

/// Between two attempts to delete a node that nobody waits for any more.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A place in the queue of a lock. Dropping it gives the place up in the background, unless the grant was told.
pub(super) struct Place {
    inner: Arc<Inner>,
    session: Arc<Session>,
    base: String,
    prefix: String,
    /// Whether a request to create the node may have reached a server.
    asked: bool,
    settled: bool,
}

impl Place {
    pub(super) fn new(inner: &Arc<Inner>, session: &Arc<Session>, base: String) -> Self {
        let prefix = queue::prefix(queue::unique());
        Self { inner: Arc::clone(inner), session: Arc::clone(session), base, prefix, asked: false, settled: false }
    }

    /// Joins the queue: creates the node once, whatever becomes of the answers. Returns its name and the transaction
    /// that created it.
    pub(super) async fn join(&mut self, deadline: Option<Instant>) -> Result<(String, i64), Failure> {
        loop {
            let limit = deadline.unwrap_or_else(|| self.inner.deadline());
            match self.create(limit).await {
                Err(failure) if failure.is(&zk::Error::NoNode) => {
                    let client = self.session.client(limit).await?;
                    self.inner.create_containers(&client, &self.base, limit).await?;
                }
                Err(failure) if failure.is_interruption() && Instant::now() < limit => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    async fn create(&mut self, deadline: Instant) -> Result<(String, i64), Failure> {
        let client = self.session.client(deadline).await?;
        if self.asked
            && let Some(found) = self.find(&client, deadline).await?
        {
            return Ok(found);
        }
        let path = paths::child(&self.base, &self.prefix);
        self.asked = true;
        let options = self.inner.dialer.created(zk::CreateMode::EphemeralSequential);
        let create = client.create(&path, b"", &options);
        let (stat, sequence) = answer(deadline, Request::Changes, create).await?;
        Ok((format!("{}{sequence}", self.prefix), stat.czxid))
    }

    /// The node, if it was created by a request whose answer was lost.
    async fn find(&self, client: &zk::Client, deadline: Instant) -> Result<Option<(String, i64)>, Failure> {
        answer(deadline, Request::Reads, client.sync("/")).await?;
        let names = match answer(deadline, Request::Reads, client.list_children(&self.base)).await {
            Err(failure) if failure.is(&zk::Error::NoNode) => return Ok(None),
            names => names?,
        };
        let Some(name) = names.into_iter().find(|name| name.starts_with(&self.prefix)) else { return Ok(None) };
        let path = paths::child(&self.base, &name);
        let stat = answer(deadline, Request::Reads, client.check_stat(&path)).await?;
        Ok(stat.map(|stat| (name, stat.czxid)))
    }

    /// The grant was told: the node stays.
    pub(super) fn settle(mut self) {
        self.settled = true;
    }

    /// Gives the place up, and returns when it is given up or at the deadline; it goes on in the background then.
    pub(super) async fn leave(self, deadline: Instant) {
        if let Some(leaving) = self.leaving() {
            let task = self.inner.background.spawn(leaving);
            // At the deadline the caller goes on; the task does, too.
            let _late = tokio::time::timeout_at(deadline, task).await;
        }
        self.settle();
    }

    /// What deletes the node: tries until it is done, or the session is over and the servers do it.
    fn leaving(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        if !self.asked || self.settled {
            return None;
        }
        let place = Self {
            inner: Arc::clone(&self.inner),
            session: Arc::clone(&self.session),
            base: self.base.clone(),
            prefix: self.prefix.clone(),
            asked: true,
            settled: true,
        };
        Some(async move {
            let (closing, ended) = (place.inner.closing.clone(), place.session.ended.clone());
            tokio::select! {
                biased;
                () = closing.cancelled() => {}
                () = ended.cancelled() => {}
                () = place.delete() => {}
            }
        })
    }

    async fn delete(&self) {
        while let Err(failure) = self.try_delete().await {
            tracing::debug!(?failure, base = self.base, "cannot leave the queue of a lock yet");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn try_delete(&self) -> Result<(), Failure> {
        let deadline = self.inner.deadline();
        let client = self.session.client(deadline).await?;
        let Some((name, _)) = self.find(&client, deadline).await? else { return Ok(()) };
        let path = paths::child(&self.base, &name);
        match answer(deadline, Request::Changes, client.delete(&path, None)).await {
            Err(failure) if failure.is(&zk::Error::NoNode) => Ok(()),
            result => result,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(leaving) = self.leaving() {
            self.inner.background.spawn(leaving);
        }
    }
}
