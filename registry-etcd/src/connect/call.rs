//! One request: sent, and sent again elsewhere where that can do no harm.

use std::sync::Arc;
use std::time::Duration;

use registry_api::Effect;
use tokio::time::Instant;

use super::{ATTEMPTS_PER_REQUEST, Connection, Link};
use crate::error::{Failure, Reason};

/// The pause before a request is sent again, unless another member is found sooner.
const PAUSE: Duration = Duration::from_millis(50);

/// What becomes of a request that is sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// It changes nothing: sent again at will.
    Read,
    /// It changes something, and twice is the same as once: sent again at will.
    Repeatable,
    /// Twice may be more than once: sent again only where it was certainly not applied.
    Once,
}

impl Connection {
    /// Sends a request until it is answered or the deadline passes. The failure says whether it may have been applied,
    /// all attempts together.
    ///
    /// Dropping the future takes nothing back that was sent.
    pub(crate) async fn call<T, F>(
        &self,
        request: Request,
        deadline: Instant,
        send: impl Fn(Arc<Link>) -> F + Send,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let mut effect = Effect::NotApplied;
        loop {
            let link = match self.link(deadline).await {
                Ok(link) => link,
                Err(failure) => return Err(failure.with_effect(effect)),
            };
            let until = match request {
                Request::Once => deadline,
                Request::Read | Request::Repeatable => {
                    deadline.min(Instant::now() + self.request_timeout / ATTEMPTS_PER_REQUEST)
                }
            };
            let failure = match self.attempt(&link, until, &send).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if request != Request::Read && failure.effect == Effect::Unknown {
                effect = Effect::Unknown;
            }
            let again = failure.reason == Reason::Elsewhere && Instant::now() < deadline;
            if failure.reason == Reason::Elsewhere {
                link.doubt();
            }
            if !again || (request == Request::Once && effect == Effect::Unknown) {
                return Err(failure.with_effect(effect));
            }
            self.pause(&link).await;
        }
    }

    async fn attempt<T, F>(
        &self,
        link: &Arc<Link>,
        until: Instant,
        send: &(impl Fn(Arc<Link>) -> F + Send),
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Failure::closed().with_effect(Effect::Unknown)),
            answer = tokio::time::timeout_at(until, send(Arc::clone(link))) => match answer {
                Ok(answer) => answer.map_err(Failure::from),
                Err(_late) => Err(Failure::unanswered()),
            },
            () = link.ended() => Err(Failure::interrupted()),
        }
    }

    /// Waits a moment, or until the link is given up.
    async fn pause(&self, link: &Link) {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = link.ended() => {}
            () = self.closed.cancelled() => {}
        }
    }
}
