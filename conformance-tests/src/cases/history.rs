//! Concurrent random operations, recorded and judged as a whole.

mod disturbed;
mod told;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future;
use rand::Rng;
use rand::rngs::StdRng;
use registry_api::{
    Capability, Effect, Key, LockWait, Precondition, PutOptions, ReadLevel, RegistryClient, Revision, Support,
};

use self::disturbed::{
    changes_are_linearizable_while_the_leader_is_isolated, changes_are_linearizable_while_the_leader_stands_still,
    they_are_linearizable_while_members_die, they_are_linearizable_while_the_leader_changes,
    they_are_linearizable_while_the_leader_is_isolated, they_are_linearizable_while_the_leader_stands_still,
};
use self::told::subscribers_are_told_every_acknowledged_change;
use super::lock::acquire;
use crate::Guarantee::{G8, G15};
use crate::broken::{ensure, ensure_eq};
use crate::cable::Cable;
use crate::case::cases;
use crate::history::holders::{self, Holding};
use crate::history::{Action, Answer, Operation, Recorder, revisions, search};
use crate::{Broken, Case, Context, Fault, Outcome};

pub(super) fn cases() -> Vec<Case> {
    cases!["history";
        concurrent_operations_follow_their_revisions => [G1, G15];
        concurrent_operations_are_linearizable_by_search => [G1];
        operations_of_one_client_at_once_follow_their_revisions => [G1, G15];
        lost_answers_change_nothing_about_that => [G15, G1];
        subscribers_are_told_every_acknowledged_change => [G12, G13];
        holders_follow_each_other_with_growing_tokens => [G8, G9];
        they_are_linearizable_while_the_leader_changes => [G1, G15] .members(3) .fault(Fault::ChangeLeader);
        they_are_linearizable_while_members_die => [G1, G15, G19]
            .members(3) .fault(Fault::Kill(0)) .fault(Fault::Start(0));
        they_are_linearizable_while_the_leader_is_isolated => [G1, G15]
            .members(3) .fault(Fault::Isolate(0)) .fault(Fault::Heal) .needs(Capability::LinearizableReads);
        they_are_linearizable_while_the_leader_stands_still => [G1, G15]
            .members(3) .fault(Fault::Pause(0)) .fault(Fault::Resume(0)) .needs(Capability::LinearizableReads);
        changes_are_linearizable_while_the_leader_is_isolated => [G1, G15]
            .members(3) .fault(Fault::Isolate(0)) .fault(Fault::Heal);
        changes_are_linearizable_while_the_leader_stands_still => [G1, G15]
            .members(3) .fault(Fault::Pause(0)) .fault(Fault::Resume(0));
        holders_follow_each_other_while_the_leader_changes => [G8, G9] .members(3) .fault(Fault::ChangeLeader);
    ]
}

/// How much is done at once.
#[derive(Clone, Copy)]
struct Load {
    clients: u64,
    operations: usize,
    keys: usize,
}

/// The keys of a history, by number.
fn keys(context: &Context, load: Load) -> Outcome<Vec<Key>> {
    (0..load.keys).map(|number| context.key(&format!("h/{number}"))).collect()
}

/// One client that does random operations, and remembers what it read last for its compare-and-sets.
struct Actor {
    client: RegistryClient,
    recorder: Recorder,
    random: StdRng,
    keys: Vec<Key>,
    known: BTreeMap<usize, Option<(u64, Revision)>>,
    /// Where a key that was deleted and created again passes for the old one, only its absence is asked for.
    swaps: Swaps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swaps {
    OfRevisions,
    OfAbsence,
}

impl Actor {
    fn new(context: &Context, client: RegistryClient, recorder: &Recorder, load: Load, number: u64) -> Outcome<Self> {
        let (recorder, random) = (recorder.clone(), context.random(number));
        let exact = client.support(Capability::AbaSafePreconditions) == Support::Full;
        let swaps = if exact { Swaps::OfRevisions } else { Swaps::OfAbsence };
        Ok(Self { client, recorder, random, keys: keys(context, load)?, known: BTreeMap::new(), swaps })
    }

    /// One random operation. Its value is the tick of its beginning, so no value is written twice.
    async fn act(&mut self) {
        let number = self.random.random_range(0..self.keys.len());
        let Some(key) = self.keys.get(number).cloned() else { return };
        let (choice, begun) = (self.random.random_range(0..10), self.recorder.tick());
        let known = self.known.get(&number).copied().flatten();
        let action = match choice {
            0..=2 => Action::Put { value: begun },
            3 => Action::Delete,
            4..=6 => {
                let known = known.filter(|_| self.swaps == Swaps::OfRevisions);
                let expected = known.map_or(Revision::ZERO, |(_, modified)| modified);
                Action::CompareAndSet { expected, found: known.map(|(value, _)| value), value: begun }
            }
            _ => Action::Get,
        };
        let operation = self.recorder.begin(number, action, begun);
        let answer = self.carry_out(&key, action).await;
        self.recorder.end(operation, answer);
        if let Answer::Read { found, .. } = answer {
            self.known.insert(number, found);
        }
        tokio::task::yield_now().await;
    }

    async fn carry_out(&self, key: &Key, action: Action) -> Answer {
        match action {
            Action::Put { value } => self.put(key, value, Precondition::None).await,
            Action::CompareAndSet { found: None, value, .. } => self.put(key, value, Precondition::Absent).await,
            Action::CompareAndSet { expected, value, .. } => self.put(key, value, Precondition::At(expected)).await,
            Action::Delete => self.delete(key).await,
            Action::Get => self.get(key).await,
        }
    }

    async fn put(&self, key: &Key, value: u64, precondition: Precondition) -> Answer {
        let options = PutOptions::default().when(precondition);
        match self.client.put_with(key, value.to_string(), options).await {
            Ok(revision) => Answer::Changed(revision),
            Err(error) => Answer::of_error(&error),
        }
    }

    async fn delete(&self, key: &Key) -> Answer {
        match self.client.delete(key).await {
            Ok(deleted) if deleted.count > 0 => Answer::Changed(deleted.revision),
            Ok(deleted) => Answer::NothingThere(deleted.revision),
            Err(error) => Answer::of_error(&error),
        }
    }

    async fn get(&self, key: &Key) -> Answer {
        match self.client.lookup(key, ReadLevel::Linearizable).await {
            Ok(lookup) => {
                let found = lookup.entry.map(|entry| (number_in(&entry.value), entry.modified));
                Answer::Read { found, at: lookup.revision }
            }
            Err(error) => Answer::of_error(&error),
        }
    }
}

/// The number that a value spells; one that was never written when it spells none.
fn number_in(value: &Bytes) -> u64 {
    String::from_utf8_lossy(value).parse().unwrap_or(u64::MAX)
}

/// Lets all clients act at once, and returns what they did.
async fn perform(context: &Context, load: Load) -> Outcome<Vec<Operation>> {
    let recorder = Recorder::default();
    let actors = (0..load.clients).map(|number| {
        let recorder = &recorder;
        async move {
            let mut actor = Actor::new(context, context.client().await?, recorder, load, number)?;
            for _ in 0..load.operations {
                actor.act().await;
            }
            Ok::<_, Broken>(())
        }
    });
    future::try_join_all(actors).await?;
    Ok(recorder.operations())
}

/// Fails when so little succeeded that nothing was shown.
fn ensure_worthwhile(operations: &[Operation]) -> Outcome {
    let done = operations.iter().filter(|operation| operation.answer.revision().is_some()).count();
    ensure!(G15, done * 4 > operations.len(), "only {done} of {} operations were answered", operations.len());
    Ok(())
}

async fn concurrent_operations_follow_their_revisions(context: Context) -> Outcome {
    let operations = perform(&context, Load { clients: 8, operations: 250, keys: 6 }).await?;
    ensure_worthwhile(&operations)?;
    let failed = operations.iter().find(|operation| matches!(operation.answer, Answer::NotApplied | Answer::Unknown));
    revisions::check(&operations)?;
    ensure_eq!(G15, failed, None, "an operation that failed although nothing was disturbed");
    Ok(())
}

/// What one of them is told must not leak into the answer to another.
async fn operations_of_one_client_at_once_follow_their_revisions(context: Context) -> Outcome {
    let load = Load { clients: 8, operations: 150, keys: 3 };
    let (client, recorder) = (context.client().await?, Recorder::default());
    let actors = (0..load.clients).map(|number| {
        let actor = Actor::new(&context, client.clone(), &recorder, load, number);
        async move {
            let mut actor = actor?;
            for _ in 0..load.operations {
                actor.act().await;
            }
            Ok::<_, Broken>(())
        }
    });
    future::try_join_all(actors).await?;
    let operations = recorder.operations();
    ensure_worthwhile(&operations)?;
    revisions::check(&operations)
}

async fn concurrent_operations_are_linearizable_by_search(context: Context) -> Outcome {
    let operations = perform(&context, Load { clients: 5, operations: 150, keys: 4 }).await?;
    search::check(&operations)
}

/// Loses the answers of a client now and then, until it is dropped.
async fn lose_answers(cable: &Cable, mut random: StdRng) {
    loop {
        cable.lose_answers();
        for _ in 0..random.random_range(1..4) {
            tokio::task::yield_now().await;
        }
        cable.mend();
        for _ in 0..random.random_range(1..20) {
            tokio::task::yield_now().await;
        }
    }
}

async fn lost_answers_change_nothing_about_that(context: Context) -> Outcome {
    let load = Load { clients: 6, operations: 120, keys: 4 };
    let recorder = Recorder::default();
    let actors = (0..load.clients).map(|number| {
        let (context, recorder) = (&context, &recorder);
        async move {
            let (client, cable) = context.cabled_client().await?;
            let mut actor = Actor::new(context, client, recorder, load, number)?;
            let act = async {
                for _ in 0..load.operations {
                    actor.act().await;
                }
            };
            tokio::select! {
                () = act => {}
                () = lose_answers(&cable, context.random(1000 + number)) => {}
            }
            Ok::<_, Broken>(())
        }
    });
    future::try_join_all(actors).await?;
    // What was unknown is looked for once more, when everything is quiet.
    let last = Actor::new(&context, context.client().await?, &recorder, load, 0)?;
    for (number, key) in last.keys.iter().enumerate() {
        let operation = recorder.begin(number, Action::Get, recorder.tick());
        recorder.end(operation, last.get(key).await);
    }
    let operations = recorder.operations();
    let unknown = operations.iter().filter(|operation| operation.is_doubtful()).count();
    ensure!(G15, unknown > 0, "answers were lost, and no outcome is unknown");
    revisions::check(&operations)?;
    search::check(&operations)
}

/// Clients that take one lock in turns; `rounds` times each.
async fn hold_in_turns(context: &Context, rounds: usize) -> Outcome<Vec<Holding>> {
    let (recorder, holdings) = (Recorder::default(), Arc::new(Mutex::new(Vec::new())));
    let name = context.lock("l")?;
    let clients = (0..8).map(|number| {
        let (recorder, holdings, name) = (&recorder, Arc::clone(&holdings), &name);
        async move {
            let (client, mut random) = (context.client().await?, context.random(number));
            let mut session = context.long_session(&client).await?;
            for _ in 0..rounds {
                let Ok(grant) = acquire(&client, name, session, LockWait::Forever).await else { continue };
                let granted = recorder.tick();
                tokio::task::yield_now().await;
                let given_up = recorder.tick();
                holdings.lock().unwrap_or_else(PoisonError::into_inner).push(Holding {
                    token: grant.token,
                    granted,
                    given_up,
                });
                let closes = random.random_bool(0.3);
                let mut given_back = client.registry().release(&grant).await.map_err(|error| error.effect());
                while given_back == Err(Effect::Unknown) || given_back == Err(Effect::NotApplied) {
                    tokio::task::yield_now().await;
                    given_back = client.registry().release(&grant).await.map_err(|error| error.effect());
                }
                if closes && client.registry().close_session(session).await.is_ok() {
                    session = context.long_session(&client).await?;
                }
            }
            Ok::<_, Broken>(())
        }
    });
    future::try_join_all(clients).await?;
    let holdings = holdings.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(G8, holdings.len() > rounds, "a lock was held only {} times by eight clients", holdings.len());
    Ok(holdings)
}

async fn holders_follow_each_other_with_growing_tokens(context: Context) -> Outcome {
    holders::check(&hold_in_turns(&context, 15).await?)
}

async fn holders_follow_each_other_while_the_leader_changes(context: Context) -> Outcome {
    let changes = async {
        for round in 0..3 {
            context.one_ttl_passes(&context.client().await?, context.timing().session_ttl, &round.to_string()).await?;
            context.inject(Fault::ChangeLeader).await?;
        }
        Ok::<_, Broken>(())
    };
    let (holdings, ()) = future::try_join(hold_in_turns(&context, 60), changes).await?;
    holders::check(&holdings)
}
