//! What is sent to one client: a bounded queue that the transport drains in batches, many messages to one write.

use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Status;

use crate::boundary::Failed;
use crate::member::limits::{OUTBOUND_LEN, OUTBOUND_STALL_MAX};
use crate::proto;
use crate::proto::member_message::Message;

/// What the transport takes from.
pub(super) type Outbox = mpsc::Receiver<Box<Sent>>;

/// What a client gets: a message, or the end. Boxed in the queue, which keeps room for 32 of them for each client, be it silent.
pub(crate) type Sent = Result<proto::MemberMessage, Status>;

/// The way to one client.
#[derive(Clone, Debug)]
pub(super) struct Outgoing(mpsc::Sender<Box<Sent>>);

/// The client takes nothing any more: it is gone, or stalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreachable;

impl Outgoing {
    pub(super) fn new() -> (Self, Outbox) {
        let (sender, receiver) = mpsc::channel(OUTBOUND_LEN);
        (Self(sender), receiver)
    }

    pub(super) async fn send(&self, message: Message) -> Result<(), Unreachable> {
        self.push(Ok(proto::MemberMessage { message: Some(message) })).await
    }

    /// Sends these answers; nothing is left of them. They are queued at once where there is room, so that the transport
    /// finds them together and writes them together.
    pub(super) async fn answer_all(&self, answers: &mut Vec<proto::Answer>) -> Result<(), Unreachable> {
        let messages = answers.drain(..).map(|answer| proto::MemberMessage { message: Some(Message::Answer(answer)) });
        match self.0.try_reserve_many(messages.len()) {
            Ok(room) => room.zip(messages).for_each(|(place, message)| place.send(Box::new(Ok(message)))),
            Err(_full_or_closed) => {
                for message in messages {
                    self.push(Ok(message)).await?;
                }
            }
        }
        Ok(())
    }

    /// The last word: the stream ends with this status.
    pub(super) async fn fail(&self, status: Status) {
        let _unheard = self.push(Err(status)).await;
    }

    pub(super) async fn answer(&self, id: u64, answer: proto::answer::Answer) -> Result<(), Unreachable> {
        self.send(Message::Answer(proto::Answer { id, answer: Some(answer) })).await
    }

    pub(super) async fn refuse(&self, id: u64, failed: Failed) -> Result<(), Unreachable> {
        self.answer(id, refused(failed)).await
    }

    /// Waits until nobody takes from the other end any more.
    pub(super) async fn closed(&self) {
        self.0.closed().await;
    }

    async fn push(&self, item: Sent) -> Result<(), Unreachable> {
        match timeout(OUTBOUND_STALL_MAX, self.0.send(Box::new(item))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Unreachable),
        }
    }
}

/// The answer that says so.
pub(super) fn refused(failed: Failed) -> proto::answer::Answer {
    proto::answer::Answer::Refused(refusal(failed))
}

/// Every failure inside the member is a refusal on the wire.
fn refusal(failed: Failed) -> proto::Refusal {
    match failed {
        Failed::Refused(refusal) => refusal,
        Failed::NotSent(message) => {
            proto::Refusal { failure: proto::Failure::Unavailable.into(), message, ..proto::Refusal::default() }
        }
        Failed::Lost(message) => proto::Refusal {
            failure: proto::Failure::Unavailable.into(),
            message,
            effect_unknown: true,
            ..proto::Refusal::default()
        },
    }
}
