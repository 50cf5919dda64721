//! Client identities, and the outcomes of their last commands: each command is applied once, however often it is sent.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use prost::Message;

use super::limits::{Limits, OUTCOME_OVERHEAD};
use super::refusal::refusal;
use crate::proto::{Failure, Outcome, Proposal, Refusal};

/// A client identity.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) nonce: Bytes,
    pub(super) label: Arc<str>,
    /// Every command below this was answered, as the client says, or its outcome was forgotten.
    pub(super) answered_below: u64,
    /// The turn in which it was used last.
    pub(super) last_used: u64,
    /// By sequence, ascending, none below `answered_below`.
    pub(super) outcomes: VecDeque<(u64, Arc<Outcome>)>,
    bytes: u64,
}

/// What is to be done with a command.
#[derive(Debug)]
pub(super) enum Admission {
    /// It is new: apply it, and [`Clients::remember`] the outcome.
    New,
    /// It was applied before: this was its outcome.
    Applied(Outcome),
    /// It is not applied, and nothing is remembered of it.
    Refused(Refusal),
}

/// Every client identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    clients: OrdMap<u64, Arc<Client>>,
    nonces: OrdMap<Bytes, u64>,
    /// From `last_used` to the client: the least recently used one first.
    ages: OrdMap<u64, u64>,
    last: u64,
    turns: u64,
    bytes: u64,
}

fn outcome_bytes(outcome: &Outcome) -> u64 {
    outcome.encoded_len() as u64 + OUTCOME_OVERHEAD
}

impl Client {
    pub(super) fn new(nonce: &[u8], label: &str, answered_below: u64, last_used: u64) -> Self {
        Self {
            nonce: Bytes::copy_from_slice(nonce),
            label: label.into(),
            answered_below,
            last_used,
            outcomes: VecDeque::new(),
            bytes: 0,
        }
    }

    fn outcome(&self, sequence: u64) -> Option<&Arc<Outcome>> {
        let index = self.outcomes.binary_search_by_key(&sequence, |(sequence, _)| *sequence).ok()?;
        self.outcomes.get(index).map(|(_, outcome)| outcome)
    }

    /// Forgets the outcomes below a sequence; returns how many bytes that freed.
    fn forget_below(&mut self, sequence: u64) -> u64 {
        let before = self.bytes;
        self.answered_below = self.answered_below.max(sequence);
        while let Some((_, outcome)) = self.outcomes.pop_front_if(|(first, _)| *first < sequence) {
            self.bytes -= outcome_bytes(&outcome);
        }
        before - self.bytes
    }

    /// Forgets the oldest outcomes beyond so many bytes; returns how many bytes that freed.
    fn forget_beyond(&mut self, most: u64) -> u64 {
        let before = self.bytes;
        while self.bytes > most
            && let Some((first, _)) = self.outcomes.front()
        {
            self.forget_below(first.saturating_add(1));
        }
        before - self.bytes
    }

    /// Remembers an outcome; returns how many bytes that took, `None` where this sequence is remembered already.
    fn remember(&mut self, sequence: u64, outcome: &Outcome) -> Option<u64> {
        let index = self.outcomes.binary_search_by_key(&sequence, |(sequence, _)| *sequence).err()?;
        let bytes = outcome_bytes(outcome);
        self.outcomes.insert(index, (sequence, Arc::new(outcome.clone())));
        self.bytes += bytes;
        Some(bytes)
    }

    fn admit(&self, sequence: u64, limits: &Limits) -> Admission {
        if sequence < self.answered_below {
            return Admission::Refused(identity_ended(format!("the outcome of the command {sequence} was forgotten")));
        }
        if let Some(outcome) = self.outcome(sequence) {
            return Admission::Applied(Outcome::clone(outcome));
        }
        if sequence - self.answered_below >= limits.window {
            let message = format!("at most {} commands of a client may wait for their answers", limits.window);
            // Another copy of the command may still come when the window has moved on.
            return Admission::Refused(Refusal { effect_unknown: true, ..refusal(Failure::LimitExceeded, message) });
        }
        Admission::New
    }
}

impl Clients {
    /// Without clients, with the id given last and the count of turns.
    pub(super) fn starting_after(last: u64, turns: u64) -> Self {
        Self { last, turns, ..Self::default() }
    }

    /// The id given last; 0: none yet.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// How often another client became the most recently used one.
    pub(super) fn turns(&self) -> u64 {
        self.turns
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    /// The bytes of all remembered outcomes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn iter_after(&self, after: u64) -> impl Iterator<Item = (u64, &Client)> {
        self.clients.range(after.saturating_add(1)..).map(|(id, client)| (*id, &**client))
    }

    /// The identity registered with this nonce, which becomes the most recently used one.
    pub(super) fn registered(&mut self, nonce: &[u8]) -> Option<u64> {
        let id = *self.nonces.get(nonce)?;
        self.touch(id);
        Some(id)
    }

    /// Makes an identity.
    pub(super) fn register(&mut self, nonce: &[u8], label: &str) -> u64 {
        self.last += 1;
        self.turns += 1;
        self.restore(self.last, Client::new(nonce, label, 0, self.turns));
        self.last
    }

    /// Takes an identity of a snapshot; `false` where its nonce or its age is not its own.
    pub(super) fn restore(&mut self, id: u64, client: Client) -> bool {
        let unique = self.nonces.insert(client.nonce.clone(), id).is_none();
        let unique = self.ages.insert(client.last_used, id).is_none() && unique;
        self.clients.insert(id, Arc::new(client));
        unique
    }

    /// Ends an identity.
    pub(super) fn end(&mut self, id: u64) -> bool {
        let Some(client) = self.clients.remove(&id) else { return false };
        self.nonces.remove(&client.nonce);
        self.ages.remove(&client.last_used);
        self.bytes -= client.bytes;
        true
    }

    /// Ends the least recently used identity.
    pub(super) fn end_oldest(&mut self) -> Option<u64> {
        let (_, id) = *self.ages.get_min()?;
        self.end(id).then_some(id)
    }

    /// Makes this the most recently used identity. Costs nothing where it is that already: the many commands of one busy
    /// client are one turn.
    fn touch(&mut self, id: u64) -> Option<&mut Client> {
        let client = Arc::make_mut(self.clients.get_mut(&id)?);
        if client.last_used != self.turns {
            self.turns += 1;
            self.ages.remove(&client.last_used);
            client.last_used = self.turns;
            self.ages.insert(self.turns, id);
        }
        Some(client)
    }

    /// Decides what is to be done with a command of a client.
    pub(super) fn admit(&mut self, proposal: &Proposal, limits: &Limits) -> Admission {
        let Proposal { client: id, sequence, answered_below, .. } = *proposal;
        let Some(client) = self.touch(id) else {
            return Admission::Refused(identity_ended(format!("the client identity {id} has ended, or never was")));
        };
        // A command never says of itself that it was answered.
        let freed = client.forget_below(answered_below.min(sequence));
        let admission = client.admit(sequence, limits);
        self.bytes -= freed;
        admission
    }

    /// Remembers the outcome of a command that was admitted as new. Returns the identities that ended to make room.
    pub(super) fn remember(&mut self, id: u64, sequence: u64, outcome: &Outcome, limits: &Limits) -> Vec<u64> {
        // An identity that ended with this very command has nothing to remember.
        if let Some(client) = self.clients.get_mut(&id).map(Arc::make_mut) {
            let added = client.remember(sequence, outcome).unwrap_or_default();
            let freed = client.forget_beyond(limits.outcome_bytes_per_client);
            self.bytes = (self.bytes + added) - freed;
        }
        let mut ended = Vec::new();
        while self.bytes > limits.outcome_bytes {
            match self.end_oldest() {
                Some(id) => ended.push(id),
                None => break,
            }
        }
        ended
    }

    /// Inserts an outcome; `false` where the client does not exist, or remembers this sequence already.
    pub(super) fn restore_outcome(&mut self, id: u64, sequence: u64, outcome: &Outcome) -> bool {
        let client = self.clients.get_mut(&id).map(Arc::make_mut);
        let added = client.and_then(|client| client.remember(sequence, outcome));
        self.bytes += added.unwrap_or_default();
        added.is_some()
    }

    /// Whether a snapshot may name this outcome next: in order, and inside the window.
    pub(super) fn takes_next(&self, id: u64, sequence: u64, limits: &Limits) -> bool {
        let Some(client) = self.clients.get(&id) else { return false };
        let in_order = client.outcomes.back().is_none_or(|(last, _)| *last < sequence);
        let behind = sequence.checked_sub(client.answered_below);
        in_order && behind.is_some_and(|behind| behind < limits.window)
    }
}

/// Whether an earlier sending of the command was applied is not known here.
fn identity_ended(message: String) -> Refusal {
    Refusal { effect_unknown: true, ..refusal(Failure::ClientEnded, message) }
}
