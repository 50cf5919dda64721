//! The way in for this process: a function call.

use std::fmt;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Service;
use crate::boundary::{Boundary, EventControl, EventSource, Failed, MemberView};
use crate::member::watches::{CreditGiver, Subscription};
use crate::proto;
use crate::proto::answer::Answer;
use crate::proto::request::Request;

/// A member as seen from its own process. It does not keep the member: one that was dropped lets go of its data, also
/// while a subscription of its process is still held.
pub(crate) struct LocalBoundary {
    member: u64,
    view: watch::Receiver<MemberView>,
    service: Weak<Service>,
}

impl LocalBoundary {
    pub(crate) fn new(service: &Arc<Service>) -> Self {
        Self { member: service.member, view: service.view.clone(), service: Arc::downgrade(service) }
    }

    fn service(&self) -> Result<Arc<Service>, Failed> {
        let open = self.service.upgrade().filter(|service| !service.stop.is_cancelled());
        open.ok_or_else(|| Failed::NotSent("the member has stopped".to_owned()))
    }
}

#[async_trait]
impl Boundary for LocalBoundary {
    async fn request(&self, request: Request, deadline: Instant) -> Result<Answer, Failed> {
        let service = self.service()?;
        let answered = service.stop.run_until_cancelled(service.answer(request, deadline)).await;
        answered.unwrap_or_else(|| Err(Failed::Lost("the member has stopped".to_owned())))
    }

    async fn subscribe(&self, subscribe: proto::Subscribe, deadline: Instant) -> Result<EventSource, Failed> {
        let service = self.service()?;
        let subscription = match timeout_at(deadline, service.subscribe(subscribe, deadline)).await {
            Ok(subscription) => subscription?,
            Err(_elapsed) => {
                return Err(Failed::refused(
                    proto::Failure::DeadlineExceeded,
                    "the subscription was not accepted in time",
                ));
            }
        };
        let (sender, events) = mpsc::channel(EventSource::channel_len(u64::MAX));
        let stop = service.stop.child_token();
        let control = Control { credit: subscription.credit(), stop: stop.clone() };
        service.local_tasks.spawn(stop.run_until_cancelled_owned(pump(subscription, sender)));
        Ok(EventSource::new(events, Arc::new(control)))
    }

    fn view(&self) -> watch::Receiver<MemberView> {
        self.view.clone()
    }
}

/// Moves events to the consumer; credit sees to it that there is always room.
async fn pump(mut subscription: Subscription, consumer: mpsc::Sender<proto::Events>) {
    loop {
        let events = subscription.next().await;
        let message = proto::Events { subscription: 0, events, ended: None };
        if consumer.send(message).await.is_err() {
            return;
        }
    }
}

struct Control {
    credit: CreditGiver,
    stop: CancellationToken,
}

impl EventControl for Control {
    fn credit(&self, events: u64) {
        self.credit.add(events);
    }

    fn cancel(&self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for LocalBoundary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LocalBoundary").field("member", &self.member).finish_non_exhaustive()
    }
}
