//! One client's stream: the greeting first, then requests, credit and withdrawals, each checked before it is acted on.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::{AbortHandle, FutureExt};
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::outgoing::{Outbox, Outgoing, Unreachable};
use super::work::{Finished, Place, Work, Yield, begin};
use super::{Service, leader_message};
use crate::boundary::{Failed, LeaderView, MemberView, PROTOCOL};
use crate::convert::check_label;
use crate::member::limits::{
    FINISH_WITHIN, GRANT_WAITS_PER_CONNECTION_MAX, GREETING_WITHIN, REQUESTS_PER_CONNECTION_MAX,
    SUBSCRIPTIONS_PER_CONNECTION_MAX,
};
use crate::member::watches::{CreditGiver, Subscription};
use crate::proto;
use crate::proto::client_message::Message as FromClient;
use crate::proto::member_message::Message as ToClient;
use crate::proto::request::Request;

/// Messages taken, and answers sent, before everything else of the connection is looked at again.
const AT_ONCE_MAX: usize = 256;

impl Service {
    /// Serves a client from its first message to its last, in a task of this member; what is sent to it comes out of the
    /// returned queue.
    pub(crate) fn attach<S>(self: &Arc<Self>, incoming: S) -> Outbox
    where
        S: Stream<Item = Incoming> + Send + Unpin + 'static,
    {
        let (outgoing, outbox) = Outgoing::new();
        let connection = Connection {
            service: Arc::clone(self),
            outgoing,
            work: FuturesUnordered::new(),
            answers: Vec::new(),
            requests: 0,
            grant_waits: 0,
            withdrawals: HashMap::new(),
            subscriptions: HashMap::new(),
            pumps: JoinSet::new(),
        };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            connection.service.meters.connections.increment(1.0);
            let meters = Arc::clone(&connection.service.meters);
            let _stopped = stop.run_until_cancelled(connection.run(incoming)).await;
            meters.connections.decrement(1.0);
        });
        outbox
    }
}

struct Connection {
    service: Arc<Service>,
    outgoing: Outgoing,
    work: FuturesUnordered<Work>,
    /// Of requests that are over, to be sent together.
    answers: Vec<proto::Answer>,
    requests: usize,
    grant_waits: usize,
    /// Withdraws what can be withdrawn, by request.
    withdrawals: HashMap<u64, AbortHandle>,
    /// By the request that subscribed.
    subscriptions: HashMap<u64, Open>,
    pumps: JoinSet<u64>,
}

/// A subscription of this connection.
struct Open {
    credit: CreditGiver,
    stop: CancellationToken,
}

/// What the stream of a client gives.
type Incoming = Result<proto::ClientMessage, Status>;

/// Why a connection ends.
enum End {
    /// The client is gone, or takes nothing any more.
    Gone,
    /// The client broke the protocol, or may not come in: told with this status.
    Refused(Status),
    /// The member leaves.
    Leaving,
}

impl From<Unreachable> for End {
    fn from(_: Unreachable) -> Self {
        Self::Gone
    }
}

impl Connection {
    async fn run<S>(mut self, mut incoming: S)
    where
        S: Stream<Item = Incoming> + Send + Unpin,
    {
        let mut view = self.service.view.clone();
        let end = match greet(&self.service, &self.outgoing, &mut incoming).await {
            Ok(_place) => self.serve(&mut incoming, &mut view).await.err().unwrap_or(End::Gone),
            Err(end) => end,
        };
        match end {
            End::Gone => {}
            End::Refused(status) => self.outgoing.fail(status).await,
            End::Leaving => self.leave().await,
        }
    }

    async fn serve<S>(&mut self, incoming: &mut S, view: &mut watch::Receiver<MemberView>) -> Result<(), End>
    where
        S: Stream<Item = Incoming> + Send + Unpin,
    {
        let mut told: Option<LeaderView> = None;
        tell_leader(&self.outgoing, view, &mut told).await?;
        let leaving = self.service.leaving.clone();
        let outgoing = self.outgoing.clone();
        let (leaving, gone) = (leaving.cancelled(), outgoing.closed());
        tokio::pin!(leaving, gone);
        loop {
            tokio::select! {
                biased;
                () = &mut leaving => return Err(End::Leaving),
                Some(finished) = self.work.next(), if !self.work.is_empty() => self.finish_ready(Some(finished)).await?,
                Some(ended) = self.pumps.join_next(), if !self.pumps.is_empty() => {
                    let id = ended.map_err(|_panicked| End::Gone)?;
                    self.subscriptions.remove(&id);
                }
                message = incoming.next() => self.take_ready(message, incoming).await?,
                changed = view.changed() => {
                    changed.map_err(|_gone| End::Leaving)?;
                    tell_leader(&self.outgoing, view, &mut told).await?;
                }
                () = &mut gone => return Err(End::Gone),
            }
        }
    }

    /// Takes a message, and those behind it that are there already: one look at everything else serves them all.
    async fn take_ready<S>(&mut self, first: Option<Incoming>, incoming: &mut S) -> Result<(), End>
    where
        S: Stream<Item = Incoming> + Send + Unpin,
    {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(message) = next {
            match message {
                Some(Ok(message)) => self.take(message).await?,
                Some(Err(status)) => return Err(End::Refused(malformed(&status))),
                None => return Err(End::Gone),
            }
            taken += 1;
            next = if taken < AT_ONCE_MAX { incoming.next().now_or_never() } else { None };
        }
        Ok(())
    }

    async fn take(&mut self, message: proto::ClientMessage) -> Result<(), End> {
        match message.message {
            Some(FromClient::Request(request)) => self.take_request(request).await?,
            Some(FromClient::Cancel(id)) => {
                self.withdraw(id);
                // It makes room for the message behind this one.
                self.finish_ready(None).await?;
            }
            Some(FromClient::Credit(credit)) => {
                if let Some(open) = self.subscriptions.get(&credit.subscription) {
                    open.credit.add(credit.events);
                }
            }
            Some(FromClient::Greeting(_)) => {
                return Err(End::Refused(Status::invalid_argument("the greeting comes once")));
            }
            None => return Err(End::Refused(Status::invalid_argument("the message is of no kind that is known"))),
        }
        Ok(())
    }

    async fn take_request(&mut self, request: proto::Request) -> Result<(), Unreachable> {
        let proto::Request { id, deadline_ms, request } = request;
        let Some(request) = request else {
            let unknown = Failed::refused(proto::Failure::Unsupported, "this member does not know the request");
            return self.outgoing.refuse(id, unknown).await;
        };
        // Heartbeats are answered on the spot: nothing may stand in front of them.
        if let Request::Heartbeat(heartbeat) = &request {
            return match self.service.sessions.heartbeat(heartbeat) {
                Ok(taken) => self.outgoing.answer(id, proto::answer::Answer::Heartbeat(taken)).await,
                Err(failed) => self.outgoing.refuse(id, failed).await,
            };
        }
        if let Err(failed) = self.admit(id, &request) {
            return self.outgoing.refuse(id, failed).await;
        }
        let (work, withdrawal) = begin(Arc::clone(&self.service), self.outgoing.clone(), id, request, deadline_ms);
        if let Some(withdrawal) = withdrawal {
            self.withdrawals.insert(id, withdrawal);
        }
        self.work.push(work);
        Ok(())
    }

    /// Counts a request, unless it exceeds a limit.
    fn admit(&mut self, id: u64, request: &Request) -> Result<(), Failed> {
        if self.withdrawals.contains_key(&id) || self.subscriptions.contains_key(&id) {
            return Err(Failed::refused(proto::Failure::InvalidArgument, "the id belongs to a request under way"));
        }
        let is_subscription = matches!(request, Request::Subscribe(_));
        if is_subscription && self.subscriptions.len() >= SUBSCRIPTIONS_PER_CONNECTION_MAX {
            return Err(limit("subscriptions", SUBSCRIPTIONS_PER_CONNECTION_MAX));
        }
        if matches!(request, Request::AwaitGrant(_)) {
            if self.grant_waits >= GRANT_WAITS_PER_CONNECTION_MAX {
                return Err(limit("waits for locks", GRANT_WAITS_PER_CONNECTION_MAX));
            }
            self.grant_waits += 1;
        } else {
            if self.requests >= REQUESTS_PER_CONNECTION_MAX {
                return Err(limit("requests under way", REQUESTS_PER_CONNECTION_MAX));
            }
            self.requests += 1;
        }
        Ok(())
    }

    /// Finishes a request that is over, and those that are over as well: their answers are sent together.
    async fn finish_ready(&mut self, first: Option<Finished>) -> Result<(), Unreachable> {
        let mut next = first.or_else(|| self.work.next().now_or_never().flatten());
        while let Some(finished) = next {
            self.finish(finished)?;
            next = if self.answers.len() < AT_ONCE_MAX { self.work.next().now_or_never().flatten() } else { None };
        }
        self.outgoing.answer_all(&mut self.answers).await
    }

    fn finish(&mut self, finished: Finished) -> Result<(), Unreachable> {
        self.withdrawals.remove(&finished.id);
        match finished.place {
            Place::Request => self.requests = self.requests.saturating_sub(1),
            Place::GrantWait => self.grant_waits = self.grant_waits.saturating_sub(1),
        }
        match finished.result? {
            Yield::Answer(answer) => self.answers.push(proto::Answer { id: finished.id, answer: Some(answer) }),
            Yield::Answered | Yield::Withdrawn => {}
            Yield::Subscribed(subscription) => {
                let stop = CancellationToken::new();
                let open = Open { credit: subscription.credit(), stop: stop.clone() };
                self.subscriptions.insert(finished.id, open);
                self.pumps.spawn(pump(finished.id, *subscription, self.outgoing.clone(), stop));
            }
        }
        Ok(())
    }

    fn withdraw(&mut self, id: u64) {
        if let Some(withdrawal) = self.withdrawals.remove(&id) {
            withdrawal.abort();
        }
        if let Some(open) = self.subscriptions.remove(&id) {
            open.stop.cancel();
        }
    }

    /// Answers what is under way, says goodbye, and lets the client end the stream.
    async fn leave(mut self) {
        self.pumps.abort_all();
        for (_, withdrawal) in self.withdrawals.drain() {
            withdrawal.abort();
        }
        let finish = async {
            while let Some(finished) = self.work.next().await {
                self.finish_ready(Some(finished)).await?;
            }
            Ok::<(), Unreachable>(())
        };
        let _finished_or_not = timeout(FINISH_WITHIN, finish).await;
        let _unheard = self.outgoing.send(ToClient::Goodbye(true)).await;
    }
}

/// Nothing is decoded further before the greeting was found right; then a client has a place for as long as it stays.
async fn greet<S>(service: &Service, outgoing: &Outgoing, incoming: &mut S) -> Result<Option<OwnedSemaphorePermit>, End>
where
    S: Stream<Item = Incoming> + Send + Unpin,
{
    let first = match timeout(GREETING_WITHIN, incoming.next()).await {
        Ok(Some(Ok(message))) => message.message,
        Ok(Some(Err(status))) => return Err(End::Refused(malformed(&status))),
        Ok(None) => return Err(End::Gone),
        Err(_elapsed) => return Err(End::Refused(Status::deadline_exceeded("the greeting did not come in time"))),
    };
    let Some(FromClient::Greeting(greeting)) = first else {
        return Err(End::Refused(Status::invalid_argument("the first message must be the greeting")));
    };
    let mut welcome = service.welcome();
    let place = match check_greeting(&service.cluster, &greeting) {
        Some(refusal) => Err(refusal),
        // Followers cannot serve without the leader's word: they never compete with clients.
        None if greeting.member != 0 => Ok(None),
        None => service.places.of_client().map(Some).ok_or_else(|| no_place(service)),
    };
    welcome.refused = place.as_ref().err().cloned();
    outgoing.send(ToClient::Welcome(welcome)).await?;
    place.map_err(|_refusal| End::Gone)
}

fn check_greeting(cluster: &str, greeting: &proto::Greeting) -> Option<proto::Refusal> {
    if greeting.protocol != PROTOCOL {
        let message = format!("this member speaks protocol {PROTOCOL}, the client {}", greeting.protocol);
        return Some(refusal(proto::Failure::Unsupported, message));
    }
    if !greeting.cluster.is_empty() && greeting.cluster != cluster {
        let message =
            format!("this member belongs to cluster {cluster:?}, the client looks for {:?}", greeting.cluster);
        return Some(refusal(proto::Failure::PermissionDenied, message));
    }
    check_label(&greeting.label).err().map(crate::convert::ConvertError::into_refusal)
}

fn no_place(service: &Service) -> proto::Refusal {
    // Whoever was refused comes again: a line each would be many.
    tracing::debug!(limit = service.places.clients_max(), "a client was refused: there are as many as allowed");
    service.meters.connections_refused.increment(1);
    let message = format!("it serves as many clients as it may: {}", service.places.clients_max());
    refusal(proto::Failure::LimitExceeded, message)
}

fn refusal(failure: proto::Failure, message: String) -> proto::Refusal {
    proto::Refusal { failure: failure.into(), message, ..proto::Refusal::default() }
}

async fn tell_leader(
    outgoing: &Outgoing,
    view: &mut watch::Receiver<MemberView>,
    told: &mut Option<LeaderView>,
) -> Result<(), Unreachable> {
    let leader = view.borrow_and_update().leader.clone();
    if leader != *told {
        outgoing.send(ToClient::Leader(leader_message(leader.as_ref()))).await?;
        *told = leader;
    }
    Ok(())
}

/// Moves the events of one subscription to the client until it is withdrawn or the client takes nothing any more.
async fn pump(id: u64, mut subscription: Subscription, outgoing: Outgoing, stop: CancellationToken) -> u64 {
    loop {
        let Some(events) = stop.run_until_cancelled(subscription.next()).await else { return id };
        let message = ToClient::Events(proto::Events { subscription: id, events, ended: None });
        if outgoing.send(message).await.is_err() {
            return id;
        }
    }
}

/// What could not be decoded is the client's fault; what went wrong with the connection is nobody's to be told.
fn malformed(status: &Status) -> Status {
    Status::invalid_argument(format!("the message cannot be read: {}", status.message()))
}

fn limit(what: &str, max: usize) -> Failed {
    Failed::refused(proto::Failure::LimitExceeded, format!("this connection has {max} {what}, which is the limit"))
}

#[cfg(test)]
mod tests;
