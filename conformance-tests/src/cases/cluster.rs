//! What clients notice when members die, stand still, are cut off, and come back.

mod apart;

use bytes::Bytes;
use futures::future;
use registry_api::{
    Capability, ErrorKind, LockWait, PutOptions, ReadLevel, RegistryClient, Scope, SessionOptions, Support,
};

use self::apart::{
    a_holder_is_told_the_truth_after_a_leader_stood_still, a_leader_that_stood_still_ends_no_session_early,
    a_leader_that_stood_still_serves_nothing_stale, a_leader_that_stood_still_serves_the_present_at_last,
    an_isolated_leader_serves_nothing_stale, an_isolated_leader_stops_serving,
    an_isolated_member_that_returns_deposes_nobody,
};
use super::durable::{answered, patient_session};
use super::keys::present;
use super::lock::{acquire, queued, waiting};
use super::subscribe::{held, random_change};
use crate::Guarantee::{G1, G4, G9, G10, G12, G15, G17, G19};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::refused_as_one_of;
use crate::{Broken, Case, Context, Fault, Outcome, Watcher};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cases!["cluster";
        every_member_answers_the_same => [G1] .members(3);
        a_leader_change_keeps_sessions_and_locks => [G17, G9] .members(3) .fault(Fault::ChangeLeader);
        a_leader_change_loses_no_event => [G12] .members(3) .fault(Fault::ChangeLeader);
        a_waiter_keeps_its_place_over_a_leader_change => [G10] .members(3) .fault(Fault::ChangeLeader);
        tokens_grow_over_leader_changes => [G9] .members(3) .fault(Fault::ChangeLeader);
        the_death_of_a_follower_stops_nothing => [G19] .members(3) .fault(Fault::Kill(0)) .fault(Fault::Start(0));
        the_death_of_the_leader_loses_nothing => [G19, G15] .members(3) .fault(Fault::Kill(0)) .fault(Fault::Start(0));
        the_death_of_the_leader_ends_no_session_early => [G17] .members(3) .fault(Fault::Kill(0));
        a_silent_session_ends_after_the_death_of_the_leader => [G4] .members(3) .fault(Fault::Kill(0));
        a_member_that_was_away_catches_up => [G1, G19] .members(3) .fault(Fault::Kill(0)) .fault(Fault::Start(0));
        the_loss_of_the_majority_refuses_and_recovers => [G1, G15]
            .members(3) .fault(Fault::Kill(0)) .fault(Fault::Start(0));
        two_of_five_may_die => [G19] .members(5) .fault(Fault::Kill(0)) .fault(Fault::Start(0));
        a_rolling_restart_keeps_everything => [G17, G19] .members(3) .fault(Fault::Restart(0));
        an_isolated_leader_serves_nothing_stale => [G1]
            .members(3) .fault(Fault::Isolate(0)) .fault(Fault::Heal) .needs(Capability::LinearizableReads);
        an_isolated_leader_stops_serving => [G1] .members(3) .fault(Fault::Isolate(0)) .fault(Fault::Heal);
        an_isolated_member_that_returns_deposes_nobody => [G17] .members(3) .fault(Fault::Isolate(0)) .fault(Fault::Heal);
        a_leader_that_stood_still_serves_nothing_stale => [G1]
            .members(3) .fault(Fault::Pause(0)) .fault(Fault::Resume(0)) .needs(Capability::LinearizableReads);
        a_leader_that_stood_still_serves_the_present_at_last => [G1]
            .members(3) .fault(Fault::Pause(0)) .fault(Fault::Resume(0));
        a_leader_that_stood_still_ends_no_session_early => [G17]
            .members(3) .fault(Fault::Pause(0)) .fault(Fault::Resume(0)) .needs(Capability::SessionsOutliveStalledLeader);
        a_holder_is_told_the_truth_after_a_leader_stood_still => [G9, G17]
            .members(3) .fault(Fault::Pause(0)) .fault(Fault::Resume(0));
    ];
    let missing = [
        ("a_member_is_added_replaced_and_removed_under_load", "needs changes of the membership"),
        ("a_learner_never_votes", "needs changes of the membership"),
        ("a_full_disk_refuses_writes_and_keeps_sessions", "needs a disk that can be filled"),
    ];
    for (requirement, what) in missing {
        cases.push(Case::missing("cluster", requirement, &[G19], what));
    }
    cases
}

/// What a server says that cannot serve for now.
const NOT_NOW: [ErrorKind; 2] = [ErrorKind::Unavailable, ErrorKind::DeadlineExceeded];

/// A member that is not this one.
fn another(context: &Context, than: usize, step: usize) -> usize {
    (than + step) % context.members()
}

/// Writes until it succeeds, as an application would; an answer that is unknown is asked for again.
pub(super) async fn put_at_last(context: &Context, client: &RegistryClient, name: &str, value: &str) -> Outcome {
    let key = context.key(name)?;
    let attempt = || async { Ok(client.put(&key, value.to_owned()).await.map_err(|error| error.to_string())) };
    context.eventually(G19, &format!("a put of {key}"), attempt, Result::is_ok).await.map(drop)
}

async fn every_member_answers_the_same(context: Context) -> Outcome {
    let mut clients = Vec::new();
    for member in 0..context.members() {
        clients.push(context.client_at(member).await?);
    }
    let key = context.key("a")?;
    for (number, writer) in clients.iter().cycle().take(60).enumerate() {
        let revision = writer.put(&key, number.to_string()).await?;
        for (member, reader) in clients.iter().enumerate() {
            let modified = present(reader, &key, G1).await?.modified;
            ensure_eq!(G1, modified, revision, "the revision that client {member} reads after write {number}");
            // A backend may send reads of one key elsewhere; whoever is asked, a listing shows the same.
            let listed = reader.list(&Scope::Key(key.clone())).await?;
            let modified: Vec<_> = listed.entries().map(|entry| entry.modified).collect();
            ensure_eq!(G1, modified, [revision], "the revisions that client {member} lists after write {number}");
        }
    }
    Ok(())
}

async fn a_leader_change_keeps_sessions_and_locks(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let session = client.open_session(SessionOptions::with_ttl(context.timing().session_ttl * 3)).await?;
    let (key, name) = (context.key("w/e")?, context.lock("l")?);
    session.put(&key, "").await?;
    let guard = session.lock(&name, LockWait::Try).await?;
    let mut watcher = Watcher::open(&context, &other, &Scope::Tree(context.key("w")?)).await?;
    for round in 0..3 {
        context.inject(Fault::ChangeLeader).await?;
        put_at_last(&context, &other, "probe", &round.to_string()).await?;
        ensure!(G17, session.is_alive(), "change {round} of the leader ended a session: {:?}", session.state());
        guard.check()?;
        guard.put(&context.key("guarded")?, round.to_string()).await?;
        let holder = other.inspect_lock(&name).await?.holder;
        ensure_eq!(G9, holder.as_ref(), Some(guard.grant()), "the holder after change {round} of the leader");
    }
    let events = watcher.until_sentinel(&other, &context.key("w/sentinel")?).await?;
    let quiet = events.iter().all(|event| matches!(event, registry_api::Event::Snapshot { .. }));
    ensure!(G17, quiet, "changes of the leader are told as {events:?}");
    guard.release().await?;
    Ok(session.close().await?)
}

async fn a_leader_change_loses_no_event(context: Context) -> Outcome {
    let (client, writer) = (context.client().await?, context.client().await?);
    let scope = Scope::Tree(context.key("storm")?);
    let mut watcher = Watcher::open(&context, &client, &scope).await?;
    let mut random = context.random(0);
    for round in 0..3 {
        for _ in 0..30 {
            writer.commit(random_change(&context, &mut random)?).await?;
        }
        let storm = async {
            for _ in 0..30 {
                // What is refused or unknown during the change of the leader is told all the same where it was applied.
                let _ = writer.commit(random_change(&context, &mut random)?).await;
            }
            Ok::<_, Broken>(())
        };
        future::try_join(storm, context.inject(Fault::ChangeLeader)).await?;
        put_at_last(&context, &writer, "storm/end", &round.to_string()).await?;
        let end = present(&writer, &context.key("storm/end")?, G12).await?.modified;
        watcher.until_revision(end).await?;
        ensure_eq!(G12, *watcher.entries(), held(&writer, &scope).await?, "the map after change {round} of the leader");
    }
    Ok(())
}

async fn a_waiter_keeps_its_place_over_a_leader_change(context: Context) -> Outcome {
    let client = context.client().await?;
    let name = context.lock("l")?;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(patient_session(&context, &client).await?);
    }
    let [holder, first, second] = sessions.as_slice() else { return Err(Broken::harness("no sessions")) };
    let mut grant = acquire(&client, &name, *holder, LockWait::Try).await?;
    let mut waiters = Vec::new();
    for (number, session) in [first, second].into_iter().enumerate() {
        waiters.push((*session, waiting(&client, &name, *session)));
        queued(&context, &client, &name, number + 1).await?;
    }
    context.inject(Fault::ChangeLeader).await?;
    for (session, mut waiter) in waiters {
        client.registry().release(&grant).await?;
        grant = waiter.granted(&context).await??;
        ensure_eq!(G10, grant.session, session, "who is served next after a change of the leader");
        let holder = client.inspect_lock(&name).await?.holder;
        ensure_eq!(G10, holder.as_ref(), Some(&grant), "the holder after a change of the leader");
    }
    Ok(())
}

async fn tokens_grow_over_leader_changes(context: Context) -> Outcome {
    let client = context.client().await?;
    let name = context.lock("l")?;
    let mut last = None;
    for round in 0..4 {
        let session = patient_session(&context, &client).await?;
        let grant = acquire(&client, &name, session, LockWait::Forever).await?;
        ensure!(G9, last.is_none_or(|last| grant.token > last), "round {round}: {} follows {last:?}", grant.token);
        last = Some(grant.token);
        client.registry().close_session(session).await?;
        context.inject(Fault::ChangeLeader).await?;
    }
    Ok(())
}

async fn the_death_of_a_follower_stops_nothing(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let dies = another(&context, leader, 1);
    let client = context.client_at(another(&context, leader, 2)).await?;
    context.inject(Fault::Kill(dies)).await?;
    for number in 0..50 {
        client.put(&context.key(&number.to_string())?, number.to_string()).await?;
    }
    context.inject(Fault::Start(dies)).await?;
    let back = context.client_at(dies).await?;
    ensure_eq!(G1, present(&back, &context.key("49")?, G1).await?.value, Bytes::from("49"), "what the member reads");
    Ok(())
}

async fn the_death_of_the_leader_loses_nothing(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let client = context.client_at(another(&context, leader, 1)).await?;
    let mut known = Vec::new();
    for number in 0..200 {
        let key = context.key(&format!("w/{number}"))?;
        if number == 100 {
            context.inject(Fault::Kill(leader)).await?;
        }
        match client.put(&key, number.to_string()).await {
            Ok(revision) => known.push((key, Some(revision))),
            Err(error) if error.effect() == registry_api::Effect::NotApplied => known.push((key, None)),
            Err(_unknown) => {}
        }
    }
    put_at_last(&context, &client, "end", "").await?;
    let now = held(&client, &Scope::Tree(context.key("w")?)).await?;
    for (key, outcome) in known {
        let modified = now.get(&key).map(|entry| entry.modified);
        match outcome {
            Some(_) => ensure_eq!(G19, modified, outcome, "an acknowledged write of {key}"),
            None => ensure_eq!(G15, modified, None, "a write of {key} that is told as not applied"),
        }
    }
    context.inject(Fault::Start(leader)).await?;
    let back = context.client_at(leader).await?;
    ensure_eq!(G1, held(&back, &Scope::Tree(context.key("w")?)).await?, now, "what the former leader reads");
    Ok(())
}

async fn the_death_of_the_leader_ends_no_session_early(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let client = context.client_at(another(&context, leader, 1)).await?;
    let ttl = context.timing().session_ttl * 4;
    let session = client.open_session(SessionOptions::with_ttl(ttl)).await?;
    let guard = session.lock(&context.lock("l")?, LockWait::Try).await?;
    let key = context.key("w/e")?;
    session.put(&key, "").await?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Tree(context.key("w")?)).await?;
    context.inject(Fault::Kill(leader)).await?;
    put_at_last(&context, &client, "probe", "").await?;
    context.one_ttl_passes(&client, ttl, "after").await?;
    ensure!(G17, session.is_alive(), "the death of the leader ended a session: {:?}", session.state());
    guard.check()?;
    let events = watcher.until_sentinel(&client, &context.key("w/sentinel")?).await?;
    let quiet = events.iter().all(|event| matches!(event, registry_api::Event::Snapshot { .. }));
    ensure!(G17, quiet, "the death of the leader is told as {events:?}");
    guard.put(&key.parent().unwrap_or(key).join("guarded")?, "").await?;
    Ok(session.close().await?)
}

async fn a_silent_session_ends_after_the_death_of_the_leader(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let client = context.client_at(another(&context, leader, 1)).await?;
    let ttl = context.timing().session_ttl;
    let key = context.key("e")?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Key(key.clone())).await?;
    let session = client.registry().open_session(SessionOptions::with_ttl(ttl)).await?.id;
    client.put_with(&key, "", PutOptions::ephemeral(session)).await?;
    context.inject(Fault::Kill(leader)).await?;
    let killed = tokio::time::Instant::now();
    put_at_last(&context, &client, "probe", "").await?;
    let elected = killed.elapsed();
    watcher.until_deleted(&key).await?;
    let bound = elected + ttl * 2 + context.timing().late_bound + context.slack_since(killed);
    ensure!(G4, killed.elapsed() <= bound, "the session ended {:?} after the death of the leader", killed.elapsed());
    Ok(())
}

async fn a_member_that_was_away_catches_up(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let (away, near) = (another(&context, leader, 1), another(&context, leader, 2));
    let client = context.client_at(near).await?;
    let session = patient_session(&context, &client).await?;
    client.put_with(&context.key("e")?, "", PutOptions::ephemeral(session)).await?;
    let grant = acquire(&client, &context.lock("l")?, session, LockWait::Try).await?;
    context.inject(Fault::Kill(away)).await?;
    let value = Bytes::from(vec![1; 1000]);
    let writes = (0..20).map(|stream| {
        let (client, context, value) = (&client, &context, &value);
        async move {
            for number in 0..200 {
                client.put(&context.key(&format!("w/{}", (stream * 7 + number) % 50))?, value.clone()).await?;
            }
            Ok::<_, Broken>(())
        }
    });
    future::try_join_all(writes).await?;
    context.inject(Fault::Start(away)).await?;
    let back = context.client_at(away).await?;
    let scope = Scope::Tree(context.root()?);
    ensure_eq!(G19, held(&back, &scope).await?, held(&client, &scope).await?, "what the member reads that was away");
    ensure_eq!(G19, back.inspect_lock(&context.lock("l")?).await?.holder, Some(grant), "the holder that it tells");
    let keeper = if back.support(Capability::SessionAdoption) == Support::Full { &back } else { &client };
    keeper.registry().heartbeat(session).await?;
    Ok(())
}

async fn the_loss_of_the_majority_refuses_and_recovers(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let left = another(&context, leader, 1);
    let client = context.client_at(left).await?;
    let key = context.key("a")?;
    client.put(&key, "before").await?;
    let dying: Vec<_> =
        (0..context.members()).filter(|member| *member != left).take(context.members() / 2 + 1).collect();
    for member in &dying {
        context.inject(Fault::Kill(*member)).await?;
    }
    let put = context.soon("the refusal of a put", client.put(&key, "without quorum")).await?;
    let refused = refused_as_one_of(G1, "a put without a quorum", put, &NOT_NOW)?;
    let get = context.soon("the refusal of a read", client.get(&key)).await?;
    refused_as_one_of(G1, "a linearizable read without a quorum", get, &NOT_NOW)?;
    if let Ok(stale) = context.soon("a stale read", client.lookup(&key, ReadLevel::Stale)).await? {
        ensure_eq!(G1, stale.entry.map(|entry| entry.value), Some(Bytes::from("before")), "a stale read");
    }
    for member in &dying {
        context.inject(Fault::Start(*member)).await?;
    }
    put_at_last(&context, &client, "b", "after").await?;
    let value = present(&client, &key, G1).await?.value;
    let allowed = value == "before" || refused.effect() == registry_api::Effect::Unknown && value == "without quorum";
    ensure!(G15, allowed, "a put without a quorum ({refused}) left {value:?}");
    Ok(())
}

async fn two_of_five_may_die(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let client = context.client_at(another(&context, leader, 1)).await?;
    for number in 0..20 {
        client.put(&context.key(&number.to_string())?, "").await?;
    }
    for dies in [leader, another(&context, leader, 2)] {
        context.inject(Fault::Kill(dies)).await?;
        put_at_last(&context, &client, "probe", "").await?;
    }
    let listing = client.list(&Scope::Tree(context.root()?)).await?;
    ensure_eq!(G19, listing.children.len(), 21, "how many keys three of five members hold");
    context.inject(Fault::Kill(another(&context, leader, 3))).await?;
    let put = context.soon("the refusal of a put", client.put(&context.key("c")?, "")).await?;
    refused_as_one_of(G1, "a put with two of five members", put, &NOT_NOW)?;
    context.inject(Fault::Start(leader)).await?;
    put_at_last(&context, &client, "probe", "again").await
}

async fn a_rolling_restart_keeps_everything(context: Context) -> Outcome {
    let first = context.client().await?;
    let session = patient_session(&context, &first).await?;
    first.put_with(&context.key("e")?, "", PutOptions::ephemeral(session)).await?;
    let grant = acquire(&first, &context.lock("l")?, session, LockWait::Try).await?;
    for member in 0..context.members() {
        let before = context.client_at(another(&context, member, 1)).await?;
        put_at_last(&context, &before, &format!("before/{member}"), "").await?;
        context.inject(Fault::Restart(member)).await?;
        put_at_last(&context, &before, &format!("after/{member}"), "").await?;
        first.registry().heartbeat(session).await?;
    }
    let client = answered(&context).await?;
    let listing = client.list(&Scope::Tree(context.root()?)).await?;
    ensure_eq!(G19, listing.children.len(), 2 * context.members() + 2, "how many keys there are in the end");
    ensure_eq!(G17, client.inspect_lock(&context.lock("l")?).await?.holder, Some(grant), "the holder in the end");
    Ok(())
}
