//! Concurrent random operations, recorded and judged as a whole.

mod told;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future;
use rand::Rng;
use rand::rngs::StdRng;
use registry_api::{Effect, Key, LockWait, Precondition, PutOptions, ReadLevel, RegistryClient, Revision};

use self::told::subscribers_are_told_every_acknowledged_change;
use super::lock::acquire;
use crate::Guarantee::{G8, G12, G15};
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
        lost_answers_change_nothing_about_that => [G15, G1];
        subscribers_are_told_every_acknowledged_change => [G12, G13];
        holders_follow_each_other_with_growing_tokens => [G8, G9];
        they_are_linearizable_while_the_leader_changes => [G1, G15] .members(3) .fault(Fault::ChangeLeader);
        they_are_linearizable_while_members_die => [G1, G15, G19]
            .members(3) .fault(Fault::Kill(0)) .fault(Fault::Start(0));
        they_are_linearizable_while_the_leader_is_isolated => [G1, G15]
            .members(3) .fault(Fault::Isolate(0)) .fault(Fault::Heal);
        they_are_linearizable_while_the_leader_stands_still => [G1, G15]
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
}

impl Actor {
    fn new(context: &Context, client: RegistryClient, recorder: &Recorder, load: Load, number: u64) -> Outcome<Self> {
        let (recorder, random) = (recorder.clone(), context.random(number));
        Ok(Self { client, recorder, random, keys: keys(context, load)?, known: BTreeMap::new() })
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

/// Acts from the clients of the members that stay, while `disturb` runs, and judges everything.
async fn judged_while(
    context: &Context,
    clients: Vec<RegistryClient>,
    disturb: impl Future<Output = Outcome>,
) -> Outcome {
    let load = Load { clients: 6, operations: 0, keys: 5 };
    let recorder = Recorder::default();
    let mut actors = Vec::new();
    for (number, client) in clients.iter().cycle().take(6).enumerate() {
        actors.push(Actor::new(context, client.clone(), &recorder, load, number as u64)?);
    }
    let act = future::join_all(actors.into_iter().map(|mut actor| async move {
        loop {
            actor.act().await;
        }
    }));
    tokio::select! {
        _never = act => {}
        disturbed = disturb => disturbed?,
    }
    // What was under way when the clients were stopped has no end: its outcome is unknown.
    let client = clients.first().ok_or_else(|| Broken::harness("no clients"))?;
    let mut last = Actor::new(context, client.clone(), &recorder, load, 99)?;
    for _ in 0..20 {
        last.act().await;
    }
    let operations = recorder.operations();
    ensure_worthwhile(&operations)?;
    revisions::check(&operations)?;
    search::check(&operations)
}

async fn they_are_linearizable_while_the_leader_changes(context: Context) -> Outcome {
    let clients = vec![context.client().await?, context.client().await?, context.client().await?];
    judged_while(&context, clients, async {
        for _ in 0..3 {
            context.inject(Fault::ChangeLeader).await?;
        }
        Ok(())
    })
    .await
}

/// Clients of the members that are not the leader.
async fn beside_the_leader(context: &Context, leader: usize) -> Outcome<Vec<RegistryClient>> {
    let others = (0..context.members()).filter(|member| *member != leader);
    future::try_join_all(others.map(|member| context.client_at(member))).await
}

async fn they_are_linearizable_while_members_die(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let clients = beside_the_leader(&context, leader).await?;
    let probe = clients.first().cloned().ok_or_else(|| Broken::harness("no clients"))?;
    judged_while(&context, clients, async {
        context.inject(Fault::Kill(leader)).await?;
        context.one_ttl_passes_at_last(&probe, "dead").await?;
        context.inject(Fault::Start(leader)).await?;
        context.one_ttl_passes_at_last(&probe, "back").await
    })
    .await
}

async fn they_are_linearizable_while_the_leader_is_isolated(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let mut clients = beside_the_leader(&context, leader).await?;
    let probe = clients.first().cloned().ok_or_else(|| Broken::harness("no clients"))?;
    clients.push(context.client_at(leader).await?);
    judged_while(&context, clients, async {
        context.inject(Fault::Isolate(leader)).await?;
        context.one_ttl_passes_at_last(&probe, "alone").await?;
        context.inject(Fault::Heal).await?;
        context.one_ttl_passes_at_last(&probe, "healed").await
    })
    .await
}

async fn they_are_linearizable_while_the_leader_stands_still(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let mut clients = beside_the_leader(&context, leader).await?;
    let probe = clients.first().cloned().ok_or_else(|| Broken::harness("no clients"))?;
    clients.push(context.client_at(leader).await?);
    judged_while(&context, clients, async {
        context.inject(Fault::Pause(leader)).await?;
        context.one_ttl_passes_at_last(&probe, "still").await?;
        context.inject(Fault::Resume(leader)).await?;
        context.one_ttl_passes_at_last(&probe, "going").await
    })
    .await
}

impl Context {
    /// As [`one_ttl_passes`](Self::one_ttl_passes), tried again until the servers answer.
    async fn one_ttl_passes_at_last(&self, client: &RegistryClient, mark: &str) -> Outcome {
        let ttl = self.timing().session_ttl;
        let attempt =
            || async { Ok(self.one_ttl_passes(client, ttl, mark).await.map_err(|broken| broken.to_string())) };
        self.eventually(G12, "a ttl to pass", attempt, Result::is_ok).await.map(drop)
    }
}
