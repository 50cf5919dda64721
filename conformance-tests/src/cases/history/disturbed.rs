//! Histories of operations while leaders change, die, are cut off, and stand still.

use futures::future;
use registry_api::RegistryClient;

use super::{Actor, Load, ensure_worthwhile};
use crate::Guarantee::G12;
use crate::history::{Operation, Recorder, revisions, search};
use crate::{Broken, Context, Fault, Outcome};

/// Acts from the clients of the members that stay, while `disturb` runs, and returns what they did.
async fn recorded_while(
    context: &Context,
    clients: Vec<RegistryClient>,
    disturb: impl Future<Output = Outcome>,
) -> Outcome<Vec<Operation>> {
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
    Ok(recorder.operations())
}

fn judged(operations: &[Operation]) -> Outcome {
    ensure_worthwhile(operations)?;
    revisions::check(operations)?;
    search::check(operations)
}

pub(super) async fn they_are_linearizable_while_the_leader_changes(context: Context) -> Outcome {
    let clients = vec![context.client().await?, context.client().await?, context.client().await?];
    let changes = async {
        for _ in 0..3 {
            context.inject(Fault::ChangeLeader).await?;
        }
        Ok(())
    };
    judged(&recorded_while(&context, clients, changes).await?)
}

/// Clients of the members that are not the leader.
async fn beside_the_leader(context: &Context, leader: usize) -> Outcome<Vec<RegistryClient>> {
    let others = (0..context.members()).filter(|member| *member != leader);
    future::try_join_all(others.map(|member| context.client_at(member))).await
}

pub(super) async fn they_are_linearizable_while_members_die(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let clients = beside_the_leader(&context, leader).await?;
    let probe = clients.first().cloned().ok_or_else(|| Broken::harness("no clients"))?;
    let deaths = async {
        context.inject(Fault::Kill(leader)).await?;
        context.one_ttl_passes_at_last(&probe, "dead").await?;
        context.inject(Fault::Start(leader)).await?;
        context.one_ttl_passes_at_last(&probe, "back").await
    };
    judged(&recorded_while(&context, clients, deaths).await?)
}

pub(super) async fn they_are_linearizable_while_the_leader_is_isolated(context: Context) -> Outcome {
    judged(&while_the_leader_is_isolated(&context).await?)
}

/// The limit of the case above: what changes is in order, also where reads of a deposed leader may be stale.
pub(super) async fn changes_are_linearizable_while_the_leader_is_isolated(context: Context) -> Outcome {
    changes_judged(&while_the_leader_is_isolated(&context).await?)
}

pub(super) async fn they_are_linearizable_while_the_leader_stands_still(context: Context) -> Outcome {
    judged(&while_the_leader_stands_still(&context).await?)
}

/// As for the leader that is isolated.
pub(super) async fn changes_are_linearizable_while_the_leader_stands_still(context: Context) -> Outcome {
    changes_judged(&while_the_leader_stands_still(&context).await?)
}

async fn while_the_leader_is_isolated(context: &Context) -> Outcome<Vec<Operation>> {
    let leader = context.leader().await?;
    let mut clients = beside_the_leader(context, leader).await?;
    let probe = clients.first().cloned().ok_or_else(|| Broken::harness("no clients"))?;
    clients.push(context.client_at(leader).await?);
    recorded_while(context, clients, async {
        context.inject(Fault::Isolate(leader)).await?;
        context.one_ttl_passes_at_last(&probe, "alone").await?;
        context.inject(Fault::Heal).await?;
        context.one_ttl_passes_at_last(&probe, "healed").await
    })
    .await
}

async fn while_the_leader_stands_still(context: &Context) -> Outcome<Vec<Operation>> {
    let leader = context.leader().await?;
    let mut clients = beside_the_leader(context, leader).await?;
    let probe = clients.first().cloned().ok_or_else(|| Broken::harness("no clients"))?;
    clients.push(context.client_at(leader).await?);
    recorded_while(context, clients, async {
        context.inject(Fault::Pause(leader)).await?;
        context.one_ttl_passes_at_last(&probe, "still").await?;
        context.inject(Fault::Resume(leader)).await?;
        context.one_ttl_passes_at_last(&probe, "going").await
    })
    .await
}

/// Judges what changed something; reads may have been stale.
fn changes_judged(operations: &[Operation]) -> Outcome {
    ensure_worthwhile(operations)?;
    revisions::check_changes(operations)?;
    search::check(&revisions::changes_of(operations))
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
