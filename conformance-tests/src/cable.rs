//! A cable between a client and its backend that a case can cut: to the servers the client is dead, to the client the
//! servers are.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use registry_api::{
    Capability, Committed, ConnectionPublisher, ConnectionState, ConnectionWatch, DeleteOptions, Deleted, Effect,
    Error, ErrorKind, Event, Heartbeat, Key, ListOptions, Listing, LockGrant, LockName, LockRequest, LockStatus,
    Lookup, Operation, PutOptions, ReadLevel, Registry, Result, Revision, Scope, SessionGrant, SessionId,
    SessionOptions, SubscribeFrom, Subscription, Support, Transaction,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The switch of a cable. Dropping it leaves the cable as it is.
#[derive(Debug)]
pub struct Cable {
    signal: watch::Sender<Signal>,
    connection: Arc<ConnectionPublisher>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// Requests and answers pass.
    Passing,
    /// Nothing passes.
    Cut,
    /// Requests pass and are carried out; their answers are lost.
    AnswersLost,
}

impl Cable {
    /// Nothing passes any more, in either direction. What was on its way to the servers may still be carried out.
    pub fn cut(&self) {
        self.signal.send_replace(Signal::Cut);
        self.connection.publish(ConnectionState::Suspended);
    }

    /// From here on requests are carried out, and their answers are lost.
    pub fn lose_answers(&self) {
        self.signal.send_replace(Signal::AnswersLost);
    }

    /// Everything passes again.
    pub fn mend(&self) {
        self.signal.send_replace(Signal::Passing);
        self.connection.publish(ConnectionState::Connected);
    }
}

/// A registry at the other end of a [`Cable`].
#[derive(Debug)]
pub(crate) struct Cabled {
    inner: Arc<dyn Registry>,
    signal: watch::Receiver<Signal>,
    connection: Arc<ConnectionPublisher>,
    request_timeout: Duration,
}

impl Cabled {
    pub(crate) fn new(inner: Arc<dyn Registry>, request_timeout: Duration) -> (Self, Cable) {
        let sender = watch::Sender::new(Signal::Passing);
        let connection = Arc::new(ConnectionPublisher::new(ConnectionState::Connected));
        let signal = sender.subscribe();
        let cabled = Self { inner, signal, connection: Arc::clone(&connection), request_timeout };
        (cabled, Cable { signal: sender, connection })
    }

    /// Sends a request over the cable, and brings the answer back.
    ///
    /// A request that is under way when the cable is cut goes on at the server, as it would: only its answer is lost.
    async fn carry<T, F, R>(&self, operation: Operation, request: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<dyn Registry>) -> R,
        R: Future<Output = Result<T>> + Send + 'static,
    {
        let mut signal = self.signal.clone();
        let passes = reached(&mut signal, |signal| signal != Signal::Cut);
        if !matches!(tokio::time::timeout(self.request_timeout, passes).await, Ok(true)) {
            return Err(self.lost(operation, Effect::NotApplied));
        }
        let mut underway = Underway(Some(tokio::spawn(request(Arc::clone(&self.inner)))));
        tokio::select! {
            biased;
            true = reached(&mut signal, |signal| signal == Signal::Cut) => {
                underway.forget();
                Err(self.lost(operation, Effect::Unknown))
            }
            answer = underway.answer() => match (answer, *self.signal.borrow()) {
                (_, Signal::AnswersLost) => Err(self.lost(operation, Effect::Unknown)),
                (Some(answer), _) => answer,
                (None, _) => Err(self.lost(operation, Effect::Unknown)),
            }
        }
    }

    fn lost(&self, operation: Operation, effect: Effect) -> Error {
        Error::new(ErrorKind::Unavailable, effect, operation, self.inner.backend(), "the cable is cut")
    }
}

/// Waits for a signal; `false` when it can never come because the switch is gone.
async fn reached(signal: &mut watch::Receiver<Signal>, wanted: impl Fn(Signal) -> bool) -> bool {
    signal.wait_for(|signal| wanted(*signal)).await.is_ok()
}

/// A request at the server: cancelled with its caller, but not by the cut of the cable.
struct Underway<T>(Option<JoinHandle<T>>);

impl<T> Underway<T> {
    async fn answer(&mut self) -> Option<T> {
        match &mut self.0 {
            Some(task) => task.await.ok(),
            None => None,
        }
    }

    fn forget(&mut self) {
        self.0 = None;
    }
}

impl<T> Drop for Underway<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// The events that arrive over the cable: while it is cut they queue up at the server.
async fn next_event(
    (mut events, mut signal): (Subscription, watch::Receiver<Signal>),
) -> Option<(Result<Event>, (Subscription, watch::Receiver<Signal>))> {
    loop {
        if !reached(&mut signal, |signal| signal != Signal::Cut).await {
            std::future::pending::<()>().await;
        }
        tokio::select! {
            biased;
            true = reached(&mut signal, |signal| signal == Signal::Cut) => {}
            event = events.next() => return event.map(|event| (event, (events, signal))),
        }
    }
}

#[async_trait]
impl Registry for Cabled {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    fn support(&self, capability: Capability) -> Support {
        self.inner.support(capability)
    }

    fn connection(&self) -> ConnectionWatch {
        self.connection.watch()
    }

    async fn open_session(&self, options: SessionOptions) -> Result<SessionGrant> {
        self.carry(Operation::OpenSession, |inner| async move { inner.open_session(options).await }).await
    }

    async fn heartbeat(&self, session: SessionId) -> Result<Heartbeat> {
        self.carry(Operation::Heartbeat, |inner| async move { inner.heartbeat(session).await }).await
    }

    async fn close_session(&self, session: SessionId) -> Result<()> {
        self.carry(Operation::CloseSession, |inner| async move { inner.close_session(session).await }).await
    }

    async fn get(&self, key: &Key, read: ReadLevel) -> Result<Lookup> {
        let key = key.clone();
        self.carry(Operation::Get, |inner| async move { inner.get(&key, read).await }).await
    }

    async fn list(&self, scope: &Scope, options: ListOptions) -> Result<Listing> {
        let scope = scope.clone();
        self.carry(Operation::List, |inner| async move { inner.list(&scope, options).await }).await
    }

    async fn put(&self, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        let key = key.clone();
        self.carry(Operation::Put, |inner| async move { inner.put(&key, value, options).await }).await
    }

    async fn delete(&self, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        let target = target.clone();
        self.carry(Operation::Delete, |inner| async move { inner.delete(&target, options).await }).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        self.carry(Operation::Commit, |inner| async move { inner.commit(transaction).await }).await
    }

    async fn subscribe(&self, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        let asked = scope.clone();
        let events =
            self.carry(Operation::Subscribe, |inner| async move { inner.subscribe(&asked, from).await }).await?;
        Ok(Subscription::new(scope.clone(), stream::unfold((events, self.signal.clone()), next_event)))
    }

    async fn acquire(&self, request: LockRequest) -> Result<LockGrant> {
        self.carry(Operation::Acquire, |inner| async move { inner.acquire(request).await }).await
    }

    async fn release(&self, grant: &LockGrant) -> Result<()> {
        let grant = grant.clone();
        self.carry(Operation::Release, |inner| async move { inner.release(&grant).await }).await
    }

    async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus> {
        let name = name.clone();
        self.carry(Operation::InspectLock, |inner| async move { inner.inspect_lock(&name).await }).await
    }

    async fn close(&self) -> Result<()> {
        self.carry(Operation::Close, |inner| async move { inner.close().await }).await?;
        self.connection.publish(ConnectionState::Closed);
        Ok(())
    }
}
