//! Proposals under a client identity: each command is applied once, however often it is sent.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::Router;
use super::router::Answered;
use crate::proto;
use crate::proto::Failure;
use crate::proto::answer::Answer;
use crate::proto::command::Command;
use crate::proto::outcome::Outcome as Applied;
use crate::proto::request::Request;

/// The most proposals of one client under way at a time; further ones wait for their turn. The group keeps the outcome
/// of each until the client says that it has it.
const PROPOSALS_MAX: usize = 256;
/// How far a number may be ahead of the oldest one under way. The group remembers outcomes up to a limit; well below it
/// the newer commands wait for the oldest.
const WINDOW: u64 = 2048;

/// Proposes commands for one process.
#[derive(Debug)]
pub(crate) struct Proposer {
    router: Arc<Router>,
    label: String,
    turns: Semaphore,
    registering: Semaphore,
    answered: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    identity: Option<Identity>,
    /// Of the registration under way, the same until it succeeds: a repeated registration gives the same identity.
    nonce: Option<Bytes>,
}

/// Who the client is for the group, and which of its commands are under way.
#[derive(Debug)]
struct Identity {
    client: u64,
    next: u64,
    under_way: BTreeSet<u64>,
}

/// The number of one command; it is under way until this is dropped.
#[derive(Debug)]
struct Sequenced<'a> {
    proposer: &'a Proposer,
    client: u64,
    sequence: u64,
    answered_below: u64,
}

impl Proposer {
    /// Proposals of a client that calls itself `label`. Its identity is registered with the first proposal.
    pub(crate) fn new(router: Arc<Router>, label: String) -> Self {
        Self {
            router,
            label,
            turns: Semaphore::new(PROPOSALS_MAX),
            registering: Semaphore::new(1),
            answered: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// Proposes a command until it is answered or `deadline` passes. Success means that it was applied, once.
    ///
    /// An identity that has ended (the client was silent for too long) is registered anew; the command goes with it only
    /// when no earlier sending can have been applied under the old one.
    ///
    /// # Errors
    ///
    /// The refusal of the state machine or of a member; `effect_unknown` is exact.
    ///
    /// # Cancellation
    ///
    /// The command may be applied all the same.
    pub(crate) async fn propose(&self, command: Command, deadline: Instant) -> Result<proto::Outcome, proto::Refusal> {
        let _turn = turn(&self.turns, deadline).await?;
        loop {
            let sequenced = self.sequenced(deadline).await?;
            let request = sequenced.request(command.clone());
            let (refusal, sent_before) = match self.router.at_leader(&request, deadline).await {
                Ok(Answered { answer: Answer::Outcome(outcome), sent_before }) => match outcome.outcome {
                    Some(Applied::Refused(refusal)) => (refusal, sent_before),
                    _ => return Ok(outcome),
                },
                Ok(_other) => return Err(unexpected()),
                Err(refusal) => {
                    let sent_before = refusal.effect_unknown;
                    (refusal, sent_before)
                }
            };
            if refusal.failure() != Failure::ClientEnded {
                return Err(refusal);
            }
            self.identity_ended(sequenced.client);
            if sent_before {
                return Err(lost_with_identity());
            }
        }
    }

    /// Takes the next number, of an identity that is registered if there is none.
    async fn sequenced(&self, deadline: Instant) -> Result<Sequenced<'_>, proto::Refusal> {
        loop {
            let answered = self.answered.notified();
            if let Some(sequenced) = self.next_number() {
                return Ok(sequenced);
            }
            if self.state().identity.is_some() {
                timeout_at(deadline, answered).await.map_err(|_elapsed| crowded())?;
                continue;
            }
            let _turn = turn(&self.registering, deadline).await?;
            if self.state().identity.is_none() {
                self.register(deadline).await?;
            }
        }
    }

    /// The next number, where there is an identity and its window has room.
    fn next_number(&self) -> Option<Sequenced<'_>> {
        let mut state = self.state();
        let identity = state.identity.as_mut()?;
        let sequence = identity.next;
        if identity.under_way.first().is_some_and(|oldest| sequence - oldest >= WINDOW) {
            return None;
        }
        identity.next += 1;
        identity.under_way.insert(sequence);
        let answered_below = identity.under_way.first().copied().unwrap_or(sequence);
        Some(Sequenced { proposer: self, client: identity.client, sequence, answered_below })
    }

    async fn register(&self, deadline: Instant) -> Result<(), proto::Refusal> {
        let nonce =
            self.state().nonce.get_or_insert_with(|| Bytes::copy_from_slice(&rand::random::<[u8; 16]>())).clone();
        let command = Command::RegisterClient(proto::RegisterClient { nonce, label: self.label.clone() });
        let request = Request::Propose(proto::Proposal {
            command: Some(proto::Command { command: Some(command) }),
            ..proto::Proposal::default()
        });
        let answered = self.router.at_leader(&request, deadline).await.map_err(surely_not_proposed)?;
        let Answer::Outcome(outcome) = answered.answer else { return Err(unexpected()) };
        match outcome.outcome {
            Some(Applied::Client(client)) => {
                let mut state = self.state();
                state.nonce = None;
                state.identity = Some(Identity { client, next: 1, under_way: BTreeSet::new() });
                Ok(())
            }
            Some(Applied::Refused(refusal)) => Err(surely_not_proposed(refusal)),
            _ => Err(unexpected()),
        }
    }

    /// Keeps the identity alive while the client writes nothing; runs until it is dropped.
    pub(crate) async fn keep_alive(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            let Some(client) = self.state().identity.as_ref().map(|identity| identity.client) else { continue };
            let kept = self.router.at_leader(&Request::KeepClient(client), Instant::now() + interval).await;
            match kept {
                Ok(_) => {}
                Err(refusal) if refusal.failure() == Failure::ClientEnded => self.identity_ended(client),
                Err(refusal) => tracing::debug!(client, refusal = %refusal.message, "client identity not kept alive"),
            }
        }
    }

    /// Ends the identity, so that the group forgets it at once and not after a silence. Best effort.
    pub(crate) async fn end(&self, deadline: Instant) {
        let Some(client) = self.state().identity.as_ref().map(|identity| identity.client) else { return };
        let command = Command::EndClient(proto::EndClient { client });
        if let Some(sequenced) = self.next_number() {
            let request = sequenced.request(command);
            if let Err(refusal) = self.router.at_leader(&request, deadline).await {
                tracing::debug!(client, refusal = %refusal.message, "client identity not ended");
            }
        }
        self.identity_ended(client);
    }

    fn identity_ended(&self, client: u64) {
        let mut state = self.state();
        if state.identity.as_ref().is_some_and(|identity| identity.client == client) {
            state.identity = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sequenced<'_> {
    fn request(&self, command: Command) -> Request {
        Request::Propose(proto::Proposal {
            client: self.client,
            sequence: self.sequence,
            answered_below: self.answered_below,
            command: Some(proto::Command { command: Some(command) }),
        })
    }
}

impl Drop for Sequenced<'_> {
    fn drop(&mut self) {
        let mut state = self.proposer.state();
        if let Some(identity) = state.identity.as_mut().filter(|identity| identity.client == self.client) {
            identity.under_way.remove(&self.sequence);
        }
        self.proposer.answered.notify_waiters();
    }
}

async fn turn(turns: &Semaphore, deadline: Instant) -> Result<SemaphorePermit<'_>, proto::Refusal> {
    match timeout_at(deadline, turns.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(crowded()),
    }
}

fn crowded() -> proto::Refusal {
    proto::Refusal {
        failure: Failure::Unavailable.into(),
        message: "it waited its turn for too long: too many changes of this client are under way".to_owned(),
        ..proto::Refusal::default()
    }
}

/// A registration that failed: whatever became of it, the command itself was never sent.
fn surely_not_proposed(mut refusal: proto::Refusal) -> proto::Refusal {
    refusal.effect_unknown = false;
    refusal
}

fn lost_with_identity() -> proto::Refusal {
    proto::Refusal {
        failure: Failure::Unavailable.into(),
        message: "the connection was lost, and the group no longer knows what became of the change".to_owned(),
        effect_unknown: true,
        ..proto::Refusal::default()
    }
}

fn unexpected() -> proto::Refusal {
    proto::Refusal {
        failure: Failure::Internal.into(),
        message: "the member answered a proposal with something else".to_owned(),
        effect_unknown: true,
        ..proto::Refusal::default()
    }
}
