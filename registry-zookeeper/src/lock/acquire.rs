//! Taking a lock: join the queue, and wait for the one before to go.

use std::sync::Arc;
use std::time::Duration;

use registry_api::{FencingToken, LockGrant, LockRequest, LockWait};
use tokio::time::Instant;
use zookeeper_client as zk;

use super::place::Place;
use super::queue::in_order;
use crate::call::answer;
use crate::error::{Failure, Request};
use crate::inner::Inner;
use crate::node;
use crate::paths;
use crate::session::Session;

/// Between two looks at the queue that the loss of a connection interrupted.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

impl Inner {
    pub(crate) async fn acquire(self: &Arc<Self>, request: &LockRequest) -> Result<LockGrant, Failure> {
        let session = self.sessions.find(request.session)?;
        let until = match request.wait {
            LockWait::AtMost(longest) => Instant::now().checked_add(longest),
            LockWait::Try | LockWait::Forever => None,
        };
        let base = self.layout.lock(&request.name);
        if request.wait == LockWait::Try {
            self.refuse_if_taken(&session, &base).await?;
        }
        let mut place = Place::new(self, &session, base.clone());
        let granted = session.while_alive(Request::Reads, self.granted(&session, &mut place, &base, request.wait));
        let granted = match until {
            None => granted.await,
            Some(until) => {
                tokio::time::timeout_at(until, granted).await.unwrap_or_else(|_| Err(Failure::lock_timeout()))
            }
        };
        match granted {
            Ok((path, czxid)) => {
                place.settle();
                self.seen.note(node::revision(czxid));
                self.seen.wrote_elsewhere();
                let token = FencingToken::new(node::revision(czxid));
                let grant = LockGrant { name: request.name.clone(), session: session.id, token };
                session.remember(grant.clone(), path);
                Ok(grant)
            }
            Err(failure) => {
                place.leave(self.deadline()).await;
                Err(failure)
            }
        }
    }

    /// Those who do not wait need no place in a queue that is not empty.
    async fn refuse_if_taken(&self, session: &Session, base: &str) -> Result<(), Failure> {
        let deadline = self.deadline();
        let look = async {
            let client = session.client(deadline).await?;
            answer(deadline, Request::Reads, client.sync("/")).await?;
            match answer(deadline, Request::Reads, client.list_children(base)).await {
                Err(failure) if failure.is(&zk::Error::NoNode) => Ok(()),
                Err(failure) => Err(failure),
                Ok(names) => {
                    if in_order(names).is_empty() {
                        Ok(())
                    } else {
                        Err(Failure::lock_timeout())
                    }
                }
            }
        };
        session.while_alive(Request::Reads, look).await
    }

    /// Waits until the place is the first, and returns the path of its node and the transaction that created it.
    async fn granted(
        &self,
        session: &Session,
        place: &mut Place,
        base: &str,
        wait: LockWait,
    ) -> Result<(String, i64), Failure> {
        let (name, czxid) = place.join((wait == LockWait::Try).then(|| self.deadline())).await?;
        loop {
            let before = match self.before(session, base, &name).await {
                Ok(None) => return Ok((paths::child(base, &name), czxid)),
                Ok(Some(_)) if wait == LockWait::Try => return Err(Failure::lock_timeout()),
                Ok(Some(before)) => before,
                // Interrupted: the place is kept as long as the session lives, and so is the wait.
                Err(failure) if failure.is_interruption() && wait != LockWait::Try => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            match self.gone(session, &before).await {
                Err(failure) if failure.is_interruption() => tokio::time::sleep(RETRY_PAUSE).await,
                result => result?,
            }
        }
    }

    /// The node before this one in the queue; `None` where it is the first.
    async fn before(&self, session: &Session, base: &str, name: &str) -> Result<Option<String>, Failure> {
        let deadline = self.deadline();
        let client = session.client(deadline).await?;
        let names = answer(deadline, Request::Reads, client.list_children(base)).await?;
        let order = in_order(names);
        match order.iter().position(|other| other == name) {
            Some(0) => Ok(None),
            Some(at) => Ok(order.get(at - 1).map(|before| paths::child(base, before))),
            // Somebody deleted it: the place is lost, and so would be the lock.
            None => Err(Failure::lock_lost()),
        }
    }

    /// Waits until something happens to a node, or it is not there: one watch on one node, so a release wakes one.
    async fn gone(&self, session: &Session, path: &str) -> Result<(), Failure> {
        let deadline = self.deadline();
        let client = session.client(deadline).await?;
        match answer(deadline, Request::Reads, client.get_and_watch_data(path)).await {
            Ok((_, _, changed)) => {
                // The wait may be long, and only the end of the session needs the connection.
                drop(client);
                changed.changed().await;
                Ok(())
            }
            Err(failure) if failure.is(&zk::Error::NoNode) => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}
