//! One request of a stream, from its arrival to its answer.

use std::sync::Arc;

use futures::future::{AbortHandle, Abortable, BoxFuture};

use super::outgoing::{Outgoing, Unreachable, refused};
use super::{Service, deadline_of};
use crate::boundary::Failed;
use crate::member::watches::Subscription;
use crate::proto;
use crate::proto::answer::Answer;
use crate::proto::request::Request;

/// What a request takes up of the connection's limits while it is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Request,
    GrantWait,
}

/// A request that is over.
pub(super) struct Finished {
    pub(super) id: u64,
    pub(super) place: Place,
    pub(super) result: Result<Yield, Unreachable>,
}

/// What a request leaves behind.
pub(super) enum Yield {
    /// An answer that is still to be sent: together with those of other requests that are over.
    Answer(Answer),
    /// All that there was to say was sent.
    Answered,
    /// It was withdrawn.
    Withdrawn,
    /// It was a subscription, which begins now.
    Subscribed(Box<Subscription>),
}

/// A request under way.
pub(super) type Work = BoxFuture<'static, Finished>;

/// Begins a request; reads and waits come with what withdraws them.
pub(super) fn begin(
    service: Arc<Service>,
    outgoing: Outgoing,
    id: u64,
    request: Request,
    deadline_ms: u64,
) -> (Work, Option<AbortHandle>) {
    let deadline = deadline_of(&request, deadline_ms);
    let place = if matches!(request, Request::AwaitGrant(_)) { Place::GrantWait } else { Place::Request };
    if !is_withdrawable(&request) {
        let work = async move {
            let answered = service.answer(request, deadline).await;
            Finished { id, place, result: Ok(Yield::of(answered)) }
        };
        return (Box::pin(work), None);
    }
    let (handle, registration) = AbortHandle::new_pair();
    let work = async move {
        let served = Abortable::new(serve(service, &outgoing, id, request, deadline), registration).await;
        Finished { id, place, result: served.unwrap_or(Ok(Yield::Withdrawn)) }
    };
    (Box::pin(work), Some(handle))
}

async fn serve(
    service: Arc<Service>,
    outgoing: &Outgoing,
    id: u64,
    request: Request,
    deadline: tokio::time::Instant,
) -> Result<Yield, Unreachable> {
    match request {
        Request::List(list) => match service.reads.list(list, deadline).await {
            Ok(mut walk) => {
                while let Some(part) = walk.next_part() {
                    outgoing.answer(id, Answer::List(part)).await?;
                }
                Ok(Yield::Answered)
            }
            Err(failed) => Ok(Yield::Answer(refused(failed))),
        },
        Request::Subscribe(subscribe) => match service.subscribe(subscribe, deadline).await {
            Ok(subscription) => {
                let revision = Some(service.applied.revision().into());
                outgoing.answer(id, Answer::Subscribed(proto::Subscribed { revision })).await?;
                Ok(Yield::Subscribed(Box::new(subscription)))
            }
            Err(failed) => Ok(Yield::Answer(refused(failed))),
        },
        other => Ok(Yield::of(service.answer(other, deadline).await)),
    }
}

impl Yield {
    fn of(answered: Result<Answer, Failed>) -> Self {
        Self::Answer(answered.unwrap_or_else(refused))
    }
}

/// Whether the client may take it back: a proposal may be in the log already.
fn is_withdrawable(request: &Request) -> bool {
    match request {
        Request::Propose(_) | Request::Heartbeat(_) | Request::KeepClient(_) => false,
        Request::Get(_)
        | Request::List(_)
        | Request::Subscribe(_)
        | Request::AwaitGrant(_)
        | Request::InspectLock(_)
        | Request::ListDeaths(_)
        | Request::Status(_)
        | Request::ReadIndex(_) => true,
    }
}
