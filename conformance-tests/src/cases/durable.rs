//! What survives the death of all members together.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::future;
use registry_api::{
    Capability, Effect, ErrorKind, Key, LockWait, Precondition, PutOptions, RegistryClient, Scope, SessionId,
    SessionOptions, Transaction,
};

use super::keys::{absent, present};
use super::lock::acquire;
use super::subscribe::held;
use crate::Guarantee::{G1, G4, G6, G9, G12, G15, G17, G18, G19};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::refused;
use crate::{Broken, Case, Context, Fault, Outcome, Watcher};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cases!["durable";
        acknowledged_writes_survive_the_death_of_all => [G19] .fault(Fault::RestartAll);
        writes_acknowledged_while_all_die_survive => [G19, G15] .fault(Fault::RestartAll);
        a_delete_survives_the_death_of_all => [G19] .fault(Fault::RestartAll);
        transactions_are_whole_after_the_death_of_all => [G19] .fault(Fault::RestartAll);
        sessions_go_on_after_a_restart => [G17, G19] .fault(Fault::RestartAll) .needs(Capability::SessionAdoption);
        ended_sessions_stay_ended_after_a_restart => [G6, G19] .fault(Fault::RestartAll);
        session_ids_are_not_given_again_after_a_restart => [G6] .fault(Fault::RestartAll);
        a_silent_session_ends_after_a_restart => [G4] .fault(Fault::RestartAll);
        locks_keep_holder_and_token_over_a_restart => [G19, G9] .fault(Fault::RestartAll);
        tokens_and_revisions_grow_over_a_restart => [G9, G19] .fault(Fault::RestartAll);
        a_subscription_goes_on_after_a_restart => [G12]
            .fault(Fault::RestartAll) .needs(Capability::ResumeFromRevision);
        a_restart_after_a_restart_keeps_everything => [G19] .fault(Fault::RestartAll);
        everything_is_kept_on_new_addresses => [G19, G17] .fault(Fault::MoveAll);
        an_idle_cluster_does_not_fill_the_disk => [G18] .fault(Fault::RestartAll);
    ];
    let missing = [
        ("a_restore_starts_a_new_incarnation", "needs backup and restore"),
        ("acknowledged_writes_survive_the_loss_of_power", "needs a disk that forgets what was not flushed"),
    ];
    for (requirement, what) in missing {
        cases.push(Case::missing("durable", requirement, &[G19], what));
    }
    cases
}

/// A client after a fault, when the servers answer again.
pub(super) async fn answered(context: &Context) -> Outcome<RegistryClient> {
    let key = context.key("answered")?;
    let attempt = || async {
        let Ok(client) = context.client().await else { return Ok(None) };
        match client.put(&key, "").await {
            Ok(_) => Ok(Some(client)),
            Err(_not_yet) => Ok(None),
        }
    };
    let found = context.eventually(G19, "servers that answer again", attempt, Option::is_some).await?;
    found.ok_or_else(|| Broken::harness("no client"))
}

/// A session long enough for any restart, kept alive by nobody.
pub(super) async fn patient_session(context: &Context, client: &RegistryClient) -> Outcome<SessionId> {
    context.long_session(client).await
}

/// Everything of the case, as it is now.
async fn everything(context: &Context, client: &RegistryClient) -> Outcome<Vec<registry_api::Entry>> {
    let all = held(client, &Scope::Tree(context.root()?)).await?;
    let probe = context.key("answered")?;
    Ok(all.into_values().filter(|entry| entry.key != probe).collect())
}

async fn fill(context: &Context, client: &RegistryClient) -> Outcome {
    let sizes = [0, 1, 100, 4096, 70_000];
    let puts = (0..100_usize).zip(sizes.iter().cycle()).map(|(number, size)| async move {
        let key = context.key(&format!("filled/{number}"))?;
        client.put(&key, Bytes::from(vec![u8::try_from(number).unwrap_or_default(); *size])).await?;
        Ok::<_, Broken>(())
    });
    future::try_join_all(puts).await.map(drop)
}

async fn acknowledged_writes_survive_the_death_of_all(context: Context) -> Outcome {
    let client = context.client().await?;
    fill(&context, &client).await?;
    let before = everything(&context, &client).await?;
    context.inject(Fault::RestartAll).await?;
    let after = everything(&context, &answered(&context).await?).await?;
    ensure!(G19, before == after, "{} keys before the restart and {} after it differ", before.len(), after.len());
    Ok(())
}

async fn writes_acknowledged_while_all_die_survive(context: Context) -> Outcome {
    let died = AtomicBool::new(false);
    let writers = (0..8_usize).map(|writer| {
        let (context, died) = (&context, &died);
        async move {
            let (mut known, client) = (Vec::new(), context.client().await?);
            for number in 0..100_000_usize {
                let key = context.key(&format!("{writer}/{number}"))?;
                match client.put(&key, number.to_string()).await {
                    Ok(revision) => known.push((key, Some(revision))),
                    Err(error) if error.effect() == Effect::NotApplied => known.push((key, None)),
                    Err(_unknown) => {}
                }
                if died.load(Ordering::SeqCst) {
                    break;
                }
            }
            Ok::<_, Broken>(known)
        }
    });
    let fault = async {
        let probe = context.client().await?;
        for number in 0..50 {
            probe.put(&context.key("probe")?, number.to_string()).await?;
        }
        let injected = context.inject(Fault::RestartAll).await;
        died.store(true, Ordering::SeqCst);
        injected
    };
    let (known, ()) = future::try_join(future::try_join_all(writers), fault).await?;
    let client = answered(&context).await?;
    let now = held(&client, &Scope::Tree(context.root()?)).await?;
    for (key, outcome) in known.into_iter().flatten() {
        let modified = now.get(&key).map(|entry| entry.modified);
        match outcome {
            Some(_) => ensure_eq!(G19, modified, outcome, "an acknowledged write of {key}"),
            None => ensure_eq!(G15, modified, None, "a write of {key} that is told as not applied"),
        }
    }
    Ok(())
}

async fn a_delete_survives_the_death_of_all(context: Context) -> Outcome {
    let client = context.client().await?;
    fill(&context, &client).await?;
    client.delete_tree(&context.key("filled")?).await?;
    context.inject(Fault::RestartAll).await?;
    let after = everything(&context, &answered(&context).await?).await?;
    ensure_eq!(G19, after, [], "what came back after the restart");
    Ok(())
}

async fn transactions_are_whole_after_the_death_of_all(context: Context) -> Outcome {
    let client = context.client().await?;
    for number in 0..20 {
        let mut builder = Transaction::builder();
        for part in 0..10 {
            builder = builder.put(context.key(&format!("parts/{part}"))?, number.to_string());
        }
        client.commit(builder.build()?).await?;
    }
    context.inject(Fault::RestartAll).await?;
    let after = everything(&context, &answered(&context).await?).await?;
    let revisions: std::collections::BTreeSet<_> = after.iter().map(|entry| entry.modified).collect();
    ensure_eq!(G19, (after.len(), revisions.len()), (10, 1), "the parts of the last transaction and their revisions");
    Ok(())
}

async fn sessions_go_on_after_a_restart(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = patient_session(&context, &client).await?;
    let key = context.key("e")?;
    let put = client.put_with(&key, "value", PutOptions::ephemeral(session)).await?;
    context.inject(Fault::RestartAll).await?;
    let client = answered(&context).await?;
    let entry = present(&client, &key, G17).await?;
    ensure_eq!(G17, (entry.owner, entry.modified), (Some(session), put), "the key of a session after the restart");
    client.registry().heartbeat(session).await?;
    client.put_with(&key, "again", PutOptions::ephemeral(session)).await?;
    client.registry().close_session(session).await?;
    absent(&client, &key, G4).await
}

async fn ended_sessions_stay_ended_after_a_restart(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = patient_session(&context, &client).await?;
    client.registry().close_session(session).await?;
    context.inject(Fault::RestartAll).await?;
    let client = answered(&context).await?;
    let result = client.registry().heartbeat(session).await;
    refused(G6, "the heartbeat of a session that ended before", result, &ErrorKind::SessionEnded)?;
    let result = client.put_with(&context.key("e")?, "", PutOptions::ephemeral(session)).await;
    refused(G6, "a put of a session that ended before", result, &ErrorKind::SessionEnded).map(drop)
}

async fn session_ids_are_not_given_again_after_a_restart(context: Context) -> Outcome {
    let client = context.client().await?;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let id = patient_session(&context, &client).await?;
        client.registry().close_session(id).await?;
        ids.insert(id);
    }
    context.inject(Fault::RestartAll).await?;
    let client = answered(&context).await?;
    for _ in 0..20 {
        let id = patient_session(&context, &client).await?;
        ensure!(G6, ids.insert(id), "the session {id} was given again after the restart");
    }
    Ok(())
}

async fn a_silent_session_ends_after_a_restart(context: Context) -> Outcome {
    let client = context.client().await?;
    let ttl = context.timing().session_ttl * 2;
    let session = client.registry().open_session(SessionOptions::with_ttl(ttl)).await?.id;
    let key = context.key("e")?;
    client.put_with(&key, "", PutOptions::ephemeral(session)).await?;
    context.inject(Fault::RestartAll).await?;
    let client = answered(&context).await?;
    let back = tokio::time::Instant::now();
    let mut watcher = Watcher::open(&context, &client, &Scope::Key(key.clone())).await?;
    if watcher.entries().contains_key(&key) {
        watcher.until_deleted(&key).await?;
    }
    let bound = ttl * 2 + context.timing().late_bound + context.slack_since(back);
    ensure!(G4, back.elapsed() <= bound, "a silent session ended {:?} after the restart", back.elapsed());
    Ok(())
}

async fn locks_keep_holder_and_token_over_a_restart(context: Context) -> Outcome {
    let client = context.client().await?;
    let (session, rival) = (patient_session(&context, &client).await?, patient_session(&context, &client).await?);
    let name = context.lock("l")?;
    let grant = acquire(&client, &name, session, LockWait::Try).await?;
    context.inject(Fault::RestartAll).await?;
    let (opener, client) = (client, answered(&context).await?);
    let status = client.inspect_lock(&name).await?;
    ensure_eq!(G19, status.holder.as_ref(), Some(&grant), "the holder after the restart");
    // A client from before may find the servers later than a new one, whose dials have no pauses between them.
    let alive = || async { Ok(opener.registry().heartbeat(rival).await.is_ok()) };
    context.eventually(G17, "the heartbeat of a session from before", alive, |alive| *alive).await?;
    let result = acquire(&opener, &name, rival, LockWait::Try).await;
    refused(G19, "a lock that is held since before the restart", result, &ErrorKind::LockTimeout)?;
    let guarded = PutOptions::default().when(Precondition::LockHeld(grant.clone()));
    client.put_with(&context.key("a")?, "", guarded).await?;
    client.registry().release(&grant).await?;
    let next = acquire(&opener, &name, rival, LockWait::Try).await?;
    ensure!(G9, next.token > grant.token, "the token {} follows {} over a restart", next.token, grant.token);
    Ok(())
}

async fn tokens_and_revisions_grow_over_a_restart(context: Context) -> Outcome {
    let client = context.client().await?;
    let name = context.lock("l")?;
    let session = patient_session(&context, &client).await?;
    let grant = acquire(&client, &name, session, LockWait::Try).await?;
    client.registry().close_session(session).await?;
    let last = client.put(&context.key("a")?, "").await?;
    context.inject(Fault::RestartAll).await?;
    let client = answered(&context).await?;
    let next = client.put(&context.key("a")?, "").await?;
    ensure!(G19, next > last, "the revision {next} follows {last} over a restart");
    let session = patient_session(&context, &client).await?;
    let again = acquire(&client, &name, session, LockWait::Try).await?;
    ensure!(G9, again.token > grant.token, "the token {} follows {} over a restart", again.token, grant.token);
    Ok(())
}

async fn a_subscription_goes_on_after_a_restart(context: Context) -> Outcome {
    let client = context.client().await?;
    let scope = Scope::Tree(context.key("w")?);
    let mut before = Watcher::open(&context, &client, &scope).await?;
    let seen = client.put(&context.key("w/a")?, "1").await?;
    before.until_revision(seen).await?;
    let missed = client.put(&context.key("w/a")?, "2").await?;
    context.inject(Fault::RestartAll).await?;
    let client = answered(&context).await?;
    let last = client.put(&context.key("w/b")?, "3").await?;
    let mut after = Watcher::resume(&context, &client, &scope, seen).await?;
    after.until_revision(last).await?;
    let told: Vec<_> = after.history().iter().map(registry_api::Event::revision).collect();
    let snapshot = matches!(after.history(), [registry_api::Event::Snapshot { .. }, ..]);
    ensure!(G12, snapshot || told == [missed, last], "after the restart the subscription told {:?}", after.history());
    Ok(())
}

async fn a_restart_after_a_restart_keeps_everything(context: Context) -> Outcome {
    let mut expected = Vec::new();
    for round in 0..3 {
        let client = answered(&context).await?;
        ensure_eq!(G19, everything(&context, &client).await?, expected, "what is there after {round} restarts");
        client.put(&context.key(&round.to_string())?, "").await?;
        client.put(&context.key("same")?, round.to_string()).await?;
        expected = everything(&context, &client).await?;
        context.inject(Fault::RestartAll).await?;
    }
    ensure_eq!(G19, everything(&context, &answered(&context).await?).await?, expected, "what is there in the end");
    Ok(())
}

async fn everything_is_kept_on_new_addresses(context: Context) -> Outcome {
    let client = context.client().await?;
    fill(&context, &client).await?;
    let session = patient_session(&context, &client).await?;
    let key: Key = context.key("e")?;
    client.put_with(&key, "", PutOptions::ephemeral(session)).await?;
    let grant = acquire(&client, &context.lock("l")?, session, LockWait::Try).await?;
    let before = everything(&context, &client).await?;
    context.inject(Fault::MoveAll).await?;
    let client = answered(&context).await?;
    ensure!(G19, everything(&context, &client).await? == before, "what is there differs on the new addresses");
    client.registry().heartbeat(session).await?;
    ensure_eq!(G17, client.inspect_lock(&context.lock("l")?).await?.holder, Some(grant), "the holder of the lock");
    Ok(())
}

async fn an_idle_cluster_does_not_fill_the_disk(context: Context) -> Outcome {
    const GROWTH_MAX: u64 = 4096;
    let client = context.client().await?;
    let mut sessions = Vec::new();
    for _ in 0..20 {
        sessions.push(client.open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?);
    }
    let Some(before) = context.disk_usage().await? else {
        return Err(Broken::harness("a cluster that can be restarted must say what it stores"));
    };
    let started = client.lookup(&context.root()?, registry_api::ReadLevel::Linearizable).await?.revision;
    let idle = context.timing().session_ttl * 3;
    // Nothing happens for three ttls but heartbeats: the deadline of a session that is kept alive moves on.
    let look = || future::ready(Ok(sessions.iter().all(registry_api::Session::is_alive)));
    let begun = tokio::time::Instant::now();
    context.eventually(G1, "the idle time to pass", look, |_| begun.elapsed() > idle).await?;
    let after = context.disk_usage().await?.unwrap_or_default();
    let ended = client.lookup(&context.root()?, registry_api::ReadLevel::Linearizable).await?.revision;
    ensure_eq!(G18, ended, started, "the revision of an idle cluster");
    let grown = after.saturating_sub(before);
    ensure!(G18, grown <= GROWTH_MAX, "an idle cluster grew by {grown} bytes in {idle:?}, from {before} to {after}");
    Ok(())
}
