//! A link to one member: dialled when it is wanted, dialled again after it was lost, with growing waits in between.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Target;
use super::backoff::Backoff;
use super::connection::{Connection, Dial};
use crate::boundary::{Boundary, EventSource, Failed, MemberView, Standing};
use crate::proto;
use crate::proto::answer::Answer;
use crate::proto::request::Request;

/// A member that is reached over the network.
#[derive(Debug)]
pub(crate) struct Link {
    target: Target,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    wanted: Notify,
    state: watch::Sender<State>,
    view: watch::Sender<MemberView>,
}

#[derive(Clone, Debug)]
enum State {
    Idle,
    Dialling,
    Up(Arc<Connection>),
    /// Not dialled again before `until`.
    Down {
        reason: String,
        until: Instant,
    },
}

impl Link {
    /// A link and the driver that dials for it; the driver ends with `stop`.
    pub(crate) fn new(dial: Dial, stop: CancellationToken) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::new(Shared {
            wanted: Notify::new(),
            state: watch::Sender::new(State::Idle),
            view: watch::Sender::new(MemberView { member: dial.target.id, ..MemberView::default() }),
        });
        let link = Self { target: dial.target.clone(), shared: Arc::clone(&shared) };
        let driver = async move {
            stop.run_until_cancelled(shared.drive(&dial)).await;
            let until = Instant::now() + std::time::Duration::from_secs(u64::from(u32::MAX));
            shared.state.send_replace(State::Down { reason: "the registry is closed".to_owned(), until });
            shared.view.send_modify(|view| view.standing = Standing::Away);
        };
        (link, driver)
    }

    /// The connection, dialled if it is not up. Fails at once while the member was found unreachable a moment ago.
    ///
    /// # Errors
    ///
    /// One line that says who could not be reached, and why.
    pub(crate) async fn connected(&self, deadline: Instant) -> Result<Arc<Connection>, String> {
        if let Some(connection) = self.up() {
            return Ok(connection);
        }
        let mut states = self.shared.state.subscribe();
        loop {
            match &*states.borrow_and_update() {
                State::Up(connection) if connection.end_reason().is_none() => return Ok(Arc::clone(connection)),
                State::Down { reason, until } if Instant::now() < *until => return Err(reason.clone()),
                State::Idle | State::Dialling | State::Up(_) | State::Down { .. } => {}
            }
            self.shared.wanted.notify_one();
            let waited = timeout_at(deadline, states.changed()).await;
            if !matches!(waited, Ok(Ok(()))) {
                let Target { id, address } = &self.target;
                return Err(format!("member {id} at {address}: not connected in time"));
            }
        }
    }
}

impl Link {
    /// Whether the connection is up.
    pub(crate) fn is_up(&self) -> bool {
        self.up().is_some()
    }

    fn up(&self) -> Option<Arc<Connection>> {
        match &*self.shared.state.borrow() {
            State::Up(connection) if connection.end_reason().is_none() => Some(Arc::clone(connection)),
            State::Idle | State::Dialling | State::Up(_) | State::Down { .. } => None,
        }
    }
}

impl Shared {
    async fn drive(&self, dial: &Dial) {
        let mut backoff = Backoff::new(dial.timing.redial_min, dial.timing.redial_max);
        loop {
            self.wanted.notified().await;
            self.state.send_replace(State::Dialling);
            match Connection::dial(dial).await {
                Ok(connection) => {
                    backoff.reset();
                    tracing::debug!(member = dial.target.id, address = %dial.target.address, "connected");
                    let reason = self.serve(Arc::new(connection)).await;
                    tracing::debug!(member = dial.target.id, address = %dial.target.address, %reason, "disconnected");
                    self.state.send_replace(State::Down { reason, until: Instant::now() });
                }
                Err(reason) => {
                    let wait = backoff.wait();
                    tracing::debug!(%reason, ?wait, "not connected");
                    let until = Instant::now() + wait;
                    self.state.send_replace(State::Down { reason, until });
                    tokio::time::sleep_until(until).await;
                }
            }
        }
    }

    /// Passes on what the connection says until it ends; returns why it ended.
    async fn serve(&self, connection: Arc<Connection>) -> String {
        let mut view = connection.view();
        self.view.send_replace(view.borrow_and_update().clone());
        self.state.send_replace(State::Up(Arc::clone(&connection)));
        loop {
            tokio::select! {
                () = connection.ended() => break,
                changed = view.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.view.send_replace(view.borrow_and_update().clone());
                }
            }
        }
        self.view.send_modify(|view| view.standing = Standing::Away);
        connection.end_reason().unwrap_or_else(|| "the connection was closed".to_owned())
    }
}

#[async_trait]
impl Boundary for Link {
    async fn request(&self, request: Request, deadline: Instant) -> Result<Answer, Failed> {
        let connection = self.connected(deadline).await.map_err(Failed::NotSent)?;
        connection.request(request, deadline).await
    }

    async fn subscribe(&self, subscribe: proto::Subscribe, deadline: Instant) -> Result<EventSource, Failed> {
        let connection = self.connected(deadline).await.map_err(Failed::NotSent)?;
        connection.subscribe(subscribe, deadline).await
    }

    fn view(&self) -> watch::Receiver<MemberView> {
        self.shared.view.subscribe()
    }
}
