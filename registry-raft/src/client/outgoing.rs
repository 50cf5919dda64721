//! What a connection sends, and how a request is taken back when whoever made it goes away.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::pending::Pending;
use crate::boundary::{EventControl, EventSource};
use crate::proto;
use crate::proto::client_message::Message as ToMember;
use crate::proto::request::Request;

/// The sending half, shared with whoever may have to withdraw a request.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) queue: mpsc::Sender<proto::ClientMessage>,
    pub(super) pending: Arc<Pending>,
}

/// Whether a request that is no longer waited for is withdrawn: a proposal is not, it may be under way in the log.
pub(super) fn withdraws(request: &Request) -> bool {
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

/// Takes a request back when whoever made it goes away.
#[derive(Debug)]
pub(super) struct Withdrawal {
    pub(super) id: u64,
    pub(super) outgoing: Outgoing,
    pub(super) events: Option<mpsc::Receiver<proto::Events>>,
    pub(super) state: Sent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    No,
    Withdrawable,
    Final,
}

impl Withdrawal {
    /// The answer came: nothing is left to take back.
    pub(super) fn settle(mut self) {
        self.state = Sent::Final;
    }

    /// The subscription was accepted: from now on its source decides when it ends.
    pub(super) fn into_source(mut self) -> EventSource {
        self.state = Sent::Final;
        let control = StreamControl { id: self.id, outgoing: self.outgoing.clone() };
        let (_closed, nothing) = mpsc::channel(1);
        let events = self.events.take().unwrap_or(nothing);
        EventSource::new(events, Arc::new(control))
    }
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        self.outgoing.pending.forget_answer(self.id);
        if self.events.is_some() {
            self.outgoing.pending.forget_events(self.id);
        }
        if self.state == Sent::Withdrawable {
            self.outgoing.tell(ToMember::Cancel(self.id));
        }
    }
}

impl Outgoing {
    /// Says something that nobody waits for. With a full queue it is not said: an answer that comes all the same is
    /// dropped, and events that come are cancelled again.
    pub(super) fn tell(&self, said: ToMember) {
        let _unsaid = self.queue.try_send(message(said));
    }
}

/// Steers a subscription at the other end of a stream.
#[derive(Debug)]
struct StreamControl {
    id: u64,
    outgoing: Outgoing,
}

impl EventControl for StreamControl {
    fn credit(&self, events: u64) {
        let credit = proto::Credit { subscription: self.id, events };
        if self.outgoing.queue.try_send(message(ToMember::Credit(credit))).is_err() {
            // Credit that is lost would stop the subscription for ever: its consumer subscribes again instead.
            self.cancel();
        }
    }

    fn cancel(&self) {
        if self.outgoing.pending.forget_events(self.id) {
            self.outgoing.tell(ToMember::Cancel(self.id));
        }
    }
}

pub(super) fn message(message: ToMember) -> proto::ClientMessage {
    proto::ClientMessage { message: Some(message) }
}
