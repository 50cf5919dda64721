//! One connection to one member: a bidirectional stream that carries many requests at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Endpoint;

use super::outgoing::{Outgoing, Sent, Withdrawal, message, withdraws};
use super::reader::{Reader, chain};
use super::{ClientTiming, Group, Target};
use crate::boundary::{CREDIT_MAX, EventSource, Failed, LeaderView, MESSAGE_LEN_MAX, MemberView, PROTOCOL, Standing};
use crate::proto;
use crate::proto::answer::Answer;
use crate::proto::client_message::Message as ToMember;
use crate::proto::member_message::Message as FromMember;
use crate::proto::registry_client::RegistryClient;
use crate::proto::request::Request;

/// How many messages wait for the transport before a sender waits for room.
const QUEUE_LEN: usize = 1024;
/// How many requests wait for an answer at one time, fewer than a member allows; further ones wait for their turn.
const REQUESTS_MAX: usize = 900;
/// How many waits for locks there are at one time, counted apart: they are long and cost little.
const LOCK_WAITS_MAX: usize = 9_000;
/// How many heartbeats wait for an answer at one time, counted apart: a member answers them before everything else, and
/// nothing may hold them up here either.
const HEARTBEATS_MAX: usize = 900;

/// Who is dialled, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) target: Target,
    pub(crate) caller: Caller,
    pub(crate) timing: ClientTiming,
    pub(crate) group: Arc<Group>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) label: String,
    /// The member that asks for itself and for the users of its process; 0: a client.
    pub(crate) member: u64,
}

impl Caller {
    /// A client that calls itself this.
    pub(crate) fn client(label: &str) -> Self {
        Self { label: label.to_owned(), member: 0 }
    }

    fn greeting(&self, cluster: String) -> proto::Greeting {
        proto::Greeting { protocol: PROTOCOL, cluster, label: self.label.clone(), member: self.member }
    }
}

/// An attached connection. Dropping it ends the stream.
#[derive(Debug)]
pub(crate) struct Connection {
    outgoing: Outgoing,
    requests: Semaphore,
    lock_waits: Semaphore,
    heartbeats: Semaphore,
    next_id: AtomicU64,
    view: watch::Receiver<MemberView>,
    ended: CancellationToken,
    _reader: DropGuard,
}

impl Connection {
    /// Dials the member, greets it and checks its welcome, within the connect timeout.
    ///
    /// # Errors
    ///
    /// One line that says who could not be reached, and why.
    pub(crate) async fn dial(dial: &Dial) -> Result<Self, String> {
        let Target { id, address } = &dial.target;
        let limit = dial.timing.connect_timeout;
        match tokio::time::timeout(limit, Self::attach(dial)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(reason)) => Err(format!("member {id} at {address}: {reason}")),
            Err(_elapsed) => {
                Err(format!("member {id} at {address}: no welcome within {}", humantime::format_duration(limit)))
            }
        }
    }

    async fn attach(dial: &Dial) -> Result<Self, String> {
        let channel = endpoint(dial)?.connect().await.map_err(|error| chain(&error))?;
        let (queue, receiver) = mpsc::channel(QUEUE_LEN);
        let greeting = dial.caller.greeting(dial.group.cluster());
        // The queue is new and empty, so there is room.
        let _room = queue.try_send(message(ToMember::Greeting(greeting)));
        let mut client = RegistryClient::new(channel)
            .max_decoding_message_size(MESSAGE_LEN_MAX)
            .max_encoding_message_size(MESSAGE_LEN_MAX);
        let mut incoming =
            client.attach(ReceiverStream::new(receiver)).await.map_err(|status| chain(&status))?.into_inner();
        let view = match incoming.next().await {
            Some(Ok(proto::MemberMessage { message: Some(FromMember::Welcome(welcome)) })) => {
                checked(welcome, &dial.target, &dial.group)?
            }
            Some(Ok(_other)) => return Err("it did not begin with a welcome".to_owned()),
            Some(Err(status)) => return Err(chain(&status)),
            None => return Err("it ended the connection without a welcome".to_owned()),
        };
        let (view, watched) = watch::channel(view);
        let outgoing = Outgoing { queue, pending: Arc::default() };
        let ended = CancellationToken::new();
        let stop = CancellationToken::new();
        let reader = Reader {
            target: dial.target.clone(),
            outgoing: outgoing.clone(),
            view,
            group: Arc::clone(&dial.group),
            _ended: ended.clone().drop_guard(),
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(reader.run(incoming)));
        Ok(Self {
            outgoing,
            requests: Semaphore::new(REQUESTS_MAX),
            lock_waits: Semaphore::new(LOCK_WAITS_MAX),
            heartbeats: Semaphore::new(HEARTBEATS_MAX),
            next_id: AtomicU64::new(1),
            view: watched,
            ended,
            _reader: stop.drop_guard(),
        })
    }

    /// What the member says of itself and of the group.
    pub(crate) fn view(&self) -> watch::Receiver<MemberView> {
        self.view.clone()
    }

    /// Why the connection ended; `None` while it is up.
    pub(crate) fn end_reason(&self) -> Option<String> {
        self.outgoing.pending.ended()
    }

    /// Waits for the end of the connection.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// See [`Boundary::request`](crate::boundary::Boundary::request).
    pub(crate) async fn request(&self, request: Request, deadline: Instant) -> Result<Answer, Failed> {
        let _turn = self.turn(&request, deadline).await?;
        let (withdrawal, answer) = self.send(request, deadline).await?;
        let answered = received(answer, deadline).await;
        if answered.is_ok() {
            withdrawal.settle();
        }
        answered
    }

    /// See [`Boundary::subscribe`](crate::boundary::Boundary::subscribe).
    pub(crate) async fn subscribe(
        &self,
        subscribe: proto::Subscribe,
        deadline: Instant,
    ) -> Result<EventSource, Failed> {
        let request = Request::Subscribe(subscribe);
        let _turn = self.turn(&request, deadline).await?;
        let (withdrawal, answer) = self.send(request, deadline).await?;
        match received(answer, deadline).await? {
            Answer::Subscribed(_) => Ok(withdrawal.into_source()),
            _other => Err(Failed::Lost("the member answered a subscription with something else".to_owned())),
        }
    }

    /// Waits until another request may be under way.
    async fn turn(&self, request: &Request, deadline: Instant) -> Result<SemaphorePermit<'_>, Failed> {
        let turns = match request {
            Request::AwaitGrant(_) => &self.lock_waits,
            Request::Heartbeat(_) => &self.heartbeats,
            _ => &self.requests,
        };
        match timeout_at(deadline, turns.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Failed::NotSent("too many requests are under way".to_owned())),
        }
    }

    /// Sends a request; the answer comes out of the receiver.
    async fn send(
        &self,
        request: Request,
        deadline: Instant,
    ) -> Result<(Withdrawal, oneshot::Receiver<Result<Answer, Failed>>), Failed> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let answer = self.outgoing.pending.expect_answer(id).map_err(Failed::NotSent)?;
        let mut withdrawal = Withdrawal { id, outgoing: self.outgoing.clone(), events: None, state: Sent::No };
        if let Request::Subscribe(subscribe) = &request {
            let (events, source) = mpsc::channel(EventSource::channel_len(subscribe.credit.max(CREDIT_MAX)));
            self.outgoing.pending.expect_events(id, events);
            withdrawal.events = Some(source);
        }
        let room = match timeout_at(deadline, self.outgoing.queue.reserve()).await {
            Ok(Ok(room)) => room,
            Ok(Err(_closed)) => return Err(Failed::NotSent("the connection has ended".to_owned())),
            Err(_elapsed) => return Err(Failed::NotSent("the connection does not take requests".to_owned())),
        };
        withdrawal.state = if withdraws(&request) { Sent::Withdrawable } else { Sent::Final };
        let deadline_ms = u64::try_from(deadline.duration_since(Instant::now()).as_millis()).unwrap_or(u64::MAX).max(1);
        room.send(message(ToMember::Request(proto::Request { id, deadline_ms, request: Some(request) })));
        Ok((withdrawal, answer))
    }
}

/// Waits for an answer. A little longer than the deadline that the member was told, so that its own word on what became
/// of the request still arrives.
async fn received(answer: oneshot::Receiver<Result<Answer, Failed>>, deadline: Instant) -> Result<Answer, Failed> {
    const GRACE: Duration = Duration::from_millis(50);
    match timeout_at(deadline + GRACE, answer).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(_gone)) => Err(Failed::Lost("the connection has ended".to_owned())),
        Err(_elapsed) => Err(Failed::Lost("no answer in time".to_owned())),
    }
}

fn endpoint(dial: &Dial) -> Result<Endpoint, String> {
    let timing = &dial.timing;
    let endpoint = Endpoint::from_shared(format!("http://{}", dial.target.address)).map_err(|error| chain(&error))?;
    Ok(endpoint
        .tcp_nodelay(true)
        .connect_timeout(timing.connect_timeout)
        .http2_keep_alive_interval(timing.keep_alive_interval)
        .keep_alive_timeout(timing.keep_alive_timeout)
        .keep_alive_while_idle(true))
}

/// Checks a welcome, and passes on what it says of the group.
fn checked(welcome: proto::Welcome, target: &Target, group: &Group) -> Result<MemberView, String> {
    if let Some(refusal) = welcome.refused {
        return Err(format!("it refuses this client: {}", refusal.message));
    }
    if welcome.protocol != PROTOCOL {
        return Err(format!("it speaks protocol {}, this client speaks {PROTOCOL}", welcome.protocol));
    }
    let cluster = group.cluster();
    if !cluster.is_empty() && cluster != welcome.cluster {
        return Err(format!("it belongs to cluster {:?}, not to {cluster:?}", welcome.cluster));
    }
    if welcome.member != target.id {
        return Err(format!("it is member {}, not {}", welcome.member, target.id));
    }
    group.hear_cluster(&welcome.cluster);
    let members: Vec<_> = welcome.members.into_iter().map(|member| (member.id, member.address)).collect();
    group.hear_members(members.iter().cloned());
    let leader = welcome.leader.unwrap_or_default();
    group.hear_leader(welcome.member, &leader);
    Ok(MemberView {
        standing: Standing::Serving,
        cluster: welcome.cluster,
        member: welcome.member,
        leader: LeaderView::from_proto(leader),
        members: Arc::new(members.into_iter().collect()),
    })
}
