//! What a connection still waits for: answers by request id, events by subscription.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::boundary::Failed;
use crate::proto;
use crate::proto::answer::Answer;

/// The largest listing that is put together from parts, in bytes of keys and values.
const LISTING_LEN_MAX: usize = 256 * 1024 * 1024;

/// The answers and subscriptions that a connection has promised to somebody.
#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ended: Option<String>,
    answers: BTreeMap<u64, Waiting>,
    subscriptions: BTreeMap<u64, mpsc::Sender<proto::Events>>,
}

#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Result<Answer, Failed>>,
    listing: Option<proto::ListPart>,
    listing_len: usize,
}

/// What became of events that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routed {
    /// Handed to their consumer.
    Delivered,
    /// Nobody waits for them (any more): the member is told to stop.
    Unwanted,
}

impl Pending {
    /// Waits for the answer to `id`.
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    pub(crate) fn expect_answer(&self, id: u64) -> Result<oneshot::Receiver<Result<Answer, Failed>>, String> {
        let (answer, receiver) = oneshot::channel();
        let mut state = self.state();
        if let Some(reason) = &state.ended {
            return Err(reason.clone());
        }
        state.answers.insert(id, Waiting { answer, listing: None, listing_len: 0 });
        Ok(receiver)
    }

    /// Sends the events of subscription `id` to `events`.
    pub(crate) fn expect_events(&self, id: u64, events: mpsc::Sender<proto::Events>) {
        let mut state = self.state();
        if state.ended.is_none() {
            state.subscriptions.insert(id, events);
        }
    }

    /// Nobody waits for the answer any more; whether somebody did.
    pub(crate) fn forget_answer(&self, id: u64) -> bool {
        self.state().answers.remove(&id).is_some()
    }

    /// Nobody waits for events of this subscription any more; whether somebody did.
    pub(crate) fn forget_events(&self, id: u64) -> bool {
        self.state().subscriptions.remove(&id).is_some()
    }

    /// Routes an answer to whoever waits for it. An answer that nobody waits for is dropped.
    pub(crate) fn answer(&self, answer: proto::Answer) {
        let mut state = self.state();
        let whole = match answer.answer {
            Some(Answer::List(part)) => {
                let Some(waiting) = state.answers.get_mut(&answer.id) else { return };
                match waiting.collect(part) {
                    Some(whole) => whole,
                    None => return,
                }
            }
            Some(Answer::Refused(refusal)) => Err(Failed::Refused(refusal)),
            Some(whole) => Ok(whole),
            None => Err(Failed::Lost("the member sent an answer of an unknown kind".to_owned())),
        };
        if let Some(waiting) = state.answers.remove(&answer.id) {
            // The other end is gone when the request was given up in this moment.
            let _given_up = waiting.answer.send(whole);
        }
    }

    /// Routes events to their subscription.
    pub(crate) fn events(&self, events: proto::Events) -> Routed {
        let id = events.subscription;
        let ends = events.ended.is_some();
        let mut state = self.state();
        // A full channel means that the member sent more than it had credit for: the subscription is cut, and its
        // consumer subscribes again where it was.
        let delivered = state.subscriptions.get(&id).is_some_and(|consumer| consumer.try_send(events).is_ok());
        if !delivered || ends {
            state.subscriptions.remove(&id);
        }
        if delivered || ends { Routed::Delivered } else { Routed::Unwanted }
    }

    /// The connection ended: everybody who waits is told, now and later.
    pub(crate) fn end(&self, reason: &str) {
        let mut state = self.state();
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(reason.to_owned());
        state.subscriptions.clear();
        for (_id, waiting) in std::mem::take(&mut state.answers) {
            let _given_up = waiting.answer.send(Err(Failed::Lost(reason.to_owned())));
        }
    }

    /// Why the connection ended, if it did.
    pub(crate) fn ended(&self) -> Option<String> {
        self.state().ended.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Adds a part of a listing; the whole once it is complete, or refused as too large.
    fn collect(&mut self, part: proto::ListPart) -> Option<Result<Answer, Failed>> {
        self.listing_len += part.children.iter().map(child_len).sum::<usize>();
        if self.listing_len > LISTING_LEN_MAX {
            let message = format!("the listing is longer than {LISTING_LEN_MAX} bytes; list it in pages");
            return Some(Err(Failed::refused(proto::Failure::LimitExceeded, message)));
        }
        let listing = self.listing.get_or_insert_with(proto::ListPart::default);
        listing.revision = part.revision;
        listing.children.extend(part.children);
        listing.next = part.next;
        listing.last = part.last;
        if !listing.last {
            return None;
        }
        Some(Ok(Answer::List(std::mem::take(listing))))
    }
}

fn child_len(child: &proto::ListedChild) -> usize {
    child.key.len() + child.entry.as_ref().map_or(0, |entry| entry.key.len() + entry.value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(part: proto::ListPart) -> proto::Answer {
        proto::Answer { id: 7, answer: Some(Answer::List(part)) }
    }

    fn part(key: &str) -> proto::ListPart {
        let children = vec![proto::ListedChild { key: key.to_owned(), entry: None }];
        proto::ListPart { children, ..proto::ListPart::default() }
    }

    #[test]
    fn parts_of_a_listing_are_put_together() {
        let pending = Pending::default();
        let mut waiting = pending.expect_answer(7).unwrap();
        pending.answer(answer(part("/a")));
        assert!(waiting.try_recv().is_err());
        pending.answer(answer(proto::ListPart { last: true, ..part("/b") }));
        let Ok(Ok(Answer::List(listing))) = waiting.try_recv() else { panic!("no listing") };
        assert_eq!(listing.children.iter().map(|child| child.key.as_str()).collect::<Vec<_>>(), ["/a", "/b"]);
    }

    #[test]
    fn everybody_who_waits_is_told_that_the_connection_ended() {
        let pending = Pending::default();
        let mut answer = pending.expect_answer(1).unwrap();
        let (events, mut consumer) = mpsc::channel(1);
        pending.expect_events(2, events);
        pending.end("reset");
        assert_eq!(answer.try_recv().unwrap(), Err(Failed::Lost("reset".to_owned())));
        assert!(matches!(consumer.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        assert_eq!(pending.expect_answer(3).unwrap_err(), "reset");
    }

    #[test]
    fn events_beyond_the_credit_cut_the_subscription() {
        let pending = Pending::default();
        let (events, _consumer) = mpsc::channel(1);
        pending.expect_events(2, events);
        let one = proto::Events { subscription: 2, ..proto::Events::default() };
        assert_eq!(pending.events(one.clone()), Routed::Delivered);
        assert_eq!(pending.events(one.clone()), Routed::Unwanted);
        assert!(!pending.forget_events(2));
    }
}
