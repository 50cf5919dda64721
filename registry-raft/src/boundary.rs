//! The boundary between a registry and one member: requests in, answers and events out.
//!
//! The messages are those of `client.proto`, so that both ways to reach a member mean the same: the member of this
//! process is called as a function, another one through a gRPC stream. Whoever sits on the boundary cannot tell which.
//!
//! ```text
//!   RaftRegistry ── Router ──┬── dyn Boundary: the member of this process (function call)
//!                            └── dyn Boundary: a link to another member (gRPC stream)
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::proto;

/// The version of the protocol of `client.proto`: both greetings carry it, and it must be equal.
pub(crate) const PROTOCOL: u32 = 1;
/// The longest message, in bytes, that either side of a stream decodes: an event with two of the longest values fits
/// several times.
pub(crate) const MESSAGE_LEN_MAX: usize = 4 * 1024 * 1024;
/// Where the parts of a listing and the messages of a subscription are cut, in bytes: one entry more may be in a part.
pub(crate) const PART_LEN: usize = 512 * 1024;
/// The most events that a subscription may have credit for at one time.
pub(crate) const CREDIT_MAX: u64 = 1024;

/// One member, as seen by those who use it.
#[async_trait]
pub(crate) trait Boundary: fmt::Debug + Send + Sync + 'static {
    /// Sends one request and waits for its answer until `deadline`.
    ///
    /// Never called with [`Request::Subscribe`](proto::request::Request::Subscribe). An answer is never
    /// [`Answer::Refused`](proto::answer::Answer::Refused): that is [`Failed::Refused`]. A listing comes as one whole
    /// part, whatever was sent on the wire. A command that the state machine refused is an answer: the outcome says so.
    ///
    /// # Cancellation
    ///
    /// Dropping the future withdraws reads and the wait for a lock. A proposal that was handed over is not withdrawn.
    async fn request(
        &self,
        request: proto::request::Request,
        deadline: Instant,
    ) -> Result<proto::answer::Answer, Failed>;

    /// Subscribes; returns when the member has accepted.
    ///
    /// # Cancellation
    ///
    /// Dropping the future, or the source, ends the subscription at the member.
    async fn subscribe(&self, subscribe: proto::Subscribe, deadline: Instant) -> Result<EventSource, Failed>;

    /// What the member is known to say of itself and of the group; a late watcher sees the current value first.
    fn view(&self) -> watch::Receiver<MemberView>;
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Failed {
    /// The member refused it; the refusal says whether it may have been applied all the same.
    #[error("refused: {}", .0.message)]
    Refused(proto::Refusal),
    /// It surely did not reach the member.
    #[error("{0}")]
    NotSent(String),
    /// It was sent, or may have been, and no answer came: the connection ended, or the deadline passed.
    #[error("{0}")]
    Lost(String),
}

/// How a member stands with whoever watches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not reached: never yet, or not since the connection was lost.
    #[default]
    Away,
    /// It serves.
    Serving,
    /// It said that it stops; requests go elsewhere.
    Leaving,
}

/// What a member says of itself and of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemberView {
    /// Whether it serves.
    pub(crate) standing: Standing,
    /// The cluster that it belongs to; empty until known.
    pub(crate) cluster: String,
    /// Its id; 0 until known.
    pub(crate) member: u64,
    /// Who leads, as this member sees it. `None` also when it leads itself but was not confirmed by a quorum within its
    /// lease: a leader is named only while it is believed able to serve.
    pub(crate) leader: Option<LeaderView>,
    /// The members of the group and where they are dialled.
    pub(crate) members: Arc<BTreeMap<u64, String>>,
}

/// A leader of a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaderView {
    /// Its member id.
    pub(crate) id: u64,
    /// Where it is dialled; empty when unknown.
    pub(crate) address: String,
    /// The term that it leads.
    pub(crate) term: u64,
}

/// The member's end of a subscription.
pub(crate) trait EventControl: Send + Sync {
    /// The consumer has room for so many more events. Each [`proto::WatchEvent`] uses one, a snapshot part as well.
    fn credit(&self, events: u64);

    /// The consumer is gone. Called once.
    fn cancel(&self);
}

/// The consumer's end of a subscription: dropping it ends the subscription at the member.
pub(crate) struct EventSource {
    events: mpsc::Receiver<proto::Events>,
    control: Arc<dyn EventControl>,
}

impl EventSource {
    /// The events that come out of `events`, steered by `control`. The channel has room for every event that credit was
    /// given for, so that whoever fills it never waits; [`EventSource::channel_len`] says how much that is.
    pub(crate) fn new(events: mpsc::Receiver<proto::Events>, control: Arc<dyn EventControl>) -> Self {
        Self { events, control }
    }

    /// How many messages the channel of a subscription with at most this much credit must hold: one for each event, and
    /// one for the end.
    pub(crate) fn channel_len(credit: u64) -> usize {
        usize::try_from(credit.min(CREDIT_MAX)).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// The next events; after a message with `ended` there are no more. `None`: the connection to the member ended, and
    /// the subscription may go on at another one.
    ///
    /// # Cancellation
    ///
    /// Safe: no event is lost.
    pub(crate) async fn next(&mut self) -> Option<proto::Events> {
        self.events.recv().await
    }

    /// Tells the member that the consumer has room for so many more events.
    pub(crate) fn credit(&self, events: u64) {
        self.control.credit(events);
    }
}

impl Drop for EventSource {
    fn drop(&mut self) {
        self.control.cancel();
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EventSource").finish_non_exhaustive()
    }
}

impl From<&LeaderView> for proto::Leader {
    fn from(leader: &LeaderView) -> Self {
        Self { id: leader.id, address: leader.address.clone(), term: leader.term }
    }
}

impl LeaderView {
    /// The leader that a message names; `None` where it names none.
    pub(crate) fn from_proto(leader: proto::Leader) -> Option<Self> {
        (leader.id != 0).then_some(Self { id: leader.id, address: leader.address, term: leader.term })
    }
}

impl Failed {
    /// Refused with a failure, a message for people, and certainly without effect.
    pub(crate) fn refused(failure: proto::Failure, message: impl Into<String>) -> Self {
        Self::Refused(proto::Refusal { failure: failure.into(), message: message.into(), ..proto::Refusal::default() })
    }
}
