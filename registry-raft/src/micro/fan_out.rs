//! The scenario of fan-out: from an applied change to the encoded message of each subscriber.

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use futures::FutureExt;
use prost::Message;
use registry_api::{Key, Revision, Scope};
use tokio::runtime::{Builder, Runtime};

use super::state::apply;
use super::{Broken, Scenario, message};
use crate::boundary::CREDIT_MAX;
use crate::member::{LateQuorum, Meters, Subscription, Watches};
use crate::proto::{Batch, Events, MemberMessage, member_message};
use crate::state_machine::{Change, StateMachine};

/// Messages in one round, unless one event gives more.
const ROUND: usize = 64;

/// Who subscribes.
#[derive(Clone, Copy, Debug)]
pub struct Audience {
    /// Subscriptions to the children of the parent of the key that changes.
    pub subscribers: usize,
    /// Subscriptions to other keys, their children and trees.
    pub others: usize,
}

/// A put goes to everybody who subscribes to it.
#[derive(Debug)]
pub struct FanOut {
    /// Timers of subscriptions belong to it; nothing waits for one.
    runtime: Runtime,
    watches: Arc<Watches>,
    subscriptions: Vec<Subscription>,
    _others: Vec<Subscription>,
    state: StateMachine,
    put: Batch,
    round: Vec<(Vec<Change>, Revision)>,
    message: BytesMut,
}

impl FanOut {
    /// To this audience.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    pub fn new(audience: Audience) -> Result<Self, Broken> {
        let runtime = Builder::new_current_thread().enable_time().build().map_err(Broken::new)?;
        let watches = Arc::new(Watches::new(Arc::new(LateQuorum::new()), Arc::new(Meters::new(1))));
        let state = StateMachine::new();
        let entered = runtime.enter();
        let subscribe = |scope| subscribe(&watches, scope, state.revision());
        let watched = Key::parse("/watched").map_err(Broken::new)?;
        let subscriptions = (0..audience.subscribers).map(|_| subscribe(Scope::Children(watched.clone())));
        let subscriptions = subscriptions.collect::<Result<_, _>>()?;
        let others = (0..audience.others).map(|number| subscribe(other_scope(number)?)).collect::<Result<_, _>>()?;
        drop(entered);
        let put = message::batch([message::put("/watched/key".to_owned(), 0)]);
        let (round, message) = (Vec::new(), BytesMut::new());
        Ok(Self { runtime, watches, subscriptions, _others: others, state, put, round, message })
    }

    /// Encodes the event that each subscription has, as it goes over its connection.
    fn deliver(&mut self) -> Result<(), Broken> {
        for (subscription, id) in self.subscriptions.iter_mut().zip(0..) {
            let events = subscription.next().now_or_never().ok_or_else(|| Broken::new("no event came"))?;
            let events = Events { subscription: id, events, ended: None };
            let message = MemberMessage { message: Some(member_message::Message::Events(events)) };
            self.message.clear();
            message.encode(&mut self.message).map_err(Broken::new)?;
            black_box(&self.message);
        }
        Ok(())
    }
}

/// A subscription that waits for events.
fn subscribe(watches: &Arc<Watches>, scope: Scope, after: Revision) -> Result<Subscription, Broken> {
    let refused = |failed| Broken::new(format!("{failed}"));
    let mut subscription = watches.subscribe(scope, Some(after)).map_err(refused)?;
    subscription.credit().add(CREDIT_MAX);
    match subscription.next().now_or_never() {
        None => Ok(subscription),
        Some(events) => Err(Broken::new(format!("events before anything changed: {events:?}"))),
    }
}

fn other_scope(number: usize) -> Result<Scope, Broken> {
    let key = Key::parse(&format!("/others/{number}")).map_err(Broken::new)?;
    Ok(match number % 3 {
        0 => Scope::Key(key),
        1 => Scope::Children(key),
        _ => Scope::Tree(key),
    })
}

impl Scenario for FanOut {
    /// One is an event with all of its messages.
    fn operations(&self) -> u64 {
        (ROUND / self.subscriptions.len().max(1)).max(1) as u64
    }

    fn prepare(&mut self) -> Result<(), Broken> {
        for subscription in &self.subscriptions {
            subscription.credit().add(self.operations());
        }
        self.round.clear();
        for _ in 0..self.operations() {
            let applied = apply(&mut self.state, &self.put)?;
            self.round.push((applied.changes, self.state.revision()));
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), Broken> {
        let runtime = self.runtime.handle().clone();
        let _entered = runtime.enter();
        for (changes, revision) in std::mem::take(&mut self.round) {
            self.watches.applied(&changes, revision);
            self.deliver()?;
        }
        Ok(())
    }
}
