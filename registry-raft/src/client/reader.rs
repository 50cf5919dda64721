//! Reads what a member sends, and routes it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_util::sync::DropGuard;

use super::outgoing::Outgoing;
use super::pending::Routed;
use super::{Group, Target};
use crate::boundary::{LeaderView, MemberView, Standing};
use crate::proto;
use crate::proto::client_message::Message as ToMember;
use crate::proto::member_message::Message as FromMember;

/// Reads what the member sends, until the stream ends.
pub(super) struct Reader {
    pub(super) target: Target,
    pub(super) outgoing: Outgoing,
    pub(super) view: watch::Sender<MemberView>,
    pub(super) group: Arc<Group>,
    pub(super) _ended: DropGuard,
}

impl Reader {
    pub(super) async fn run(self, mut incoming: tonic::Streaming<proto::MemberMessage>) {
        let reason = loop {
            match incoming.next().await {
                Some(Ok(proto::MemberMessage { message: Some(FromMember::Goodbye(_)) })) => {
                    self.view.send_modify(|view| view.standing = Standing::Leaving);
                    break "it is stopping".to_owned();
                }
                Some(Ok(message)) => self.route(message),
                Some(Err(status)) => break chain(&status),
                None => break "it ended the connection".to_owned(),
            }
        };
        let Target { id, address } = &self.target;
        self.outgoing.pending.end(&format!("connection to member {id} at {address} lost: {reason}"));
    }

    fn route(&self, message: proto::MemberMessage) {
        match message.message {
            Some(FromMember::Answer(answer)) => self.outgoing.pending.answer(answer),
            Some(FromMember::Events(events)) => {
                let id = events.subscription;
                if self.outgoing.pending.events(events) == Routed::Unwanted {
                    self.outgoing.tell(ToMember::Cancel(id));
                }
            }
            Some(FromMember::Leader(leader)) => {
                self.group.hear_leader(self.target.id, &leader);
                self.view.send_modify(|view| view.leader = LeaderView::from_proto(leader));
            }
            // A newer member may say more than this client knows.
            Some(FromMember::Welcome(_) | FromMember::Goodbye(_)) | None => {}
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.outgoing.pending.end("the connection was closed");
        self.view.send_modify(|view| view.standing = Standing::Away);
    }
}

/// An error with what is below it, in one line: the outermost words of a transport say little.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let innermost = std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error);
    match innermost.downcast_ref::<tonic::Status>() {
        Some(status) => status.message().to_owned(),
        None => innermost.to_string(),
    }
}
