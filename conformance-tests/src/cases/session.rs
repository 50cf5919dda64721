//! Sessions: identity, ends that are final, and what the owner knows.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use registry_api::{
    Capability, ErrorKind, LockRequest, LockWait, PutOptions, SESSION_TTL_MAX, SESSION_TTL_MIN, Scope, SessionEnd,
    SessionId, SessionOptions, SessionState,
};
use tokio::time::Instant;

use super::keys::{absent, present};
use crate::Guarantee::{G4, G6, G7, G11, G15, G17, G18, G20};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::process::Process;
use crate::refusal::refused;
use crate::{Broken, Case, Context, Outcome, Watcher};

/// How many sessions are opened and closed to look for traces.
const MANY: usize = 400;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cases!["session";
        an_id_is_never_given_twice => [G6];
        a_heartbeat_of_an_unknown_session_is_an_error => [G6, G15];
        a_closed_session_stays_ended => [G6];
        an_expired_session_stays_ended => [G6];
        closing_twice_succeeds => [G6];
        times_to_live_out_of_range_are_refused => [G20];
        a_label_that_is_too_long_is_refused => [G20];
        the_granted_ttl_is_told => [G4];
        heartbeats_write_nothing => [G18];
        opening_and_closing_leaves_no_trace => [G11, G18];
        a_session_outlives_the_client_that_opened_it => [G4] .needs(Capability::SessionAdoption);
        a_late_watcher_sees_the_current_state => [G7];
        the_owner_is_told_of_an_end_by_others => [G7];
        an_outage_shorter_than_the_ttl_loses_nothing => [G17];
        after_an_outage_longer_than_the_ttl_it_has_ended_for_good => [G6];
        the_owner_knows_before_anybody_else => [G7];
        a_frozen_owner_knows_at_the_first_look => [G7];
        a_freeze_shorter_than_the_ttl_is_harmless => [G17];
        closing_is_bounded_when_the_servers_are_gone => [G18];
        the_last_handle_closes_it => [G11];
    ];
    cases.push(Case::missing(
        "session",
        "steps_of_the_wall_clock_change_nothing",
        &[crate::Guarantee::G16],
        "needs servers whose wall clock can be stepped",
    ));
    cases
}

async fn an_id_is_never_given_twice(context: Context) -> Outcome {
    let clients = [context.client().await?, context.client().await?];
    let mut ids = BTreeSet::new();
    for number in 0..200 {
        for client in &clients {
            let id = context.long_session(client).await?;
            ensure!(G6, ids.insert(id), "the session {id} was given twice");
            if number % 2 == 0 {
                client.registry().close_session(id).await?;
            }
        }
    }
    Ok(())
}

async fn a_heartbeat_of_an_unknown_session_is_an_error(context: Context) -> Outcome {
    let client = context.client().await?;
    for number in [0, u64::MAX - 1, 0x1234_5678_9ABC_DEF0] {
        let result = client.registry().heartbeat(SessionId::new(number)).await;
        refused(G6, "the heartbeat of a session that never was", result, &ErrorKind::SessionEnded)?;
    }
    Ok(())
}

/// Fails unless everything that needs the session is refused.
async fn ensure_ended(context: &Context, session: SessionId) -> Outcome {
    let client = context.client().await?;
    let ended = &ErrorKind::SessionEnded;
    refused(G6, "a heartbeat after the end", client.registry().heartbeat(session).await, ended)?;
    let key = context.key("late")?;
    refused(G6, "a put after the end", client.put_with(&key, "", PutOptions::ephemeral(session)).await, ended)?;
    let request = LockRequest { name: context.lock("late")?, session, wait: LockWait::Try };
    refused(G6, "a lock after the end", client.registry().acquire(request).await, ended)?;
    absent(&client, &key, G6).await
}

async fn a_closed_session_stays_ended(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    client.registry().heartbeat(session).await?;
    client.registry().close_session(session).await?;
    ensure_ended(&context, session).await
}

async fn an_expired_session_stays_ended(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.short_session(&client).await?;
    let key = context.key("e")?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Key(key.clone())).await?;
    client.put_with(&key, "", PutOptions::ephemeral(session)).await?;
    watcher.until_deleted(&key).await?;
    ensure_ended(&context, session).await
}

async fn closing_twice_succeeds(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let session = context.long_session(&client).await?;
    for client in [&client, &other, &client] {
        client.registry().close_session(session).await?;
    }
    ensure_ended(&context, session).await
}

async fn times_to_live_out_of_range_are_refused(context: Context) -> Outcome {
    let client = context.client().await?;
    let millisecond = Duration::from_millis(1);
    for ttl in [Duration::ZERO, SESSION_TTL_MIN - millisecond, SESSION_TTL_MAX + millisecond, Duration::MAX] {
        let result = client.registry().open_session(SessionOptions::with_ttl(ttl)).await;
        refused(G20, &format!("a session with a ttl of {ttl:?}"), result, &ErrorKind::InvalidArgument)?;
    }
    Ok(())
}

async fn a_label_that_is_too_long_is_refused(context: Context) -> Outcome {
    let client = context.client().await?;
    let with_label = |len| SessionOptions { label: "l".repeat(len), ..SessionOptions::default() };
    let grant = client.registry().open_session(with_label(255)).await?;
    client.registry().close_session(grant.id).await?;
    let result = client.registry().open_session(with_label(256)).await;
    refused(G20, "a label of 256 bytes", result, &ErrorKind::InvalidArgument).map(drop)
}

async fn the_granted_ttl_is_told(context: Context) -> Outcome {
    let client = context.client().await?;
    let grant = client.registry().open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?;
    ensure!(G4, grant.ttl > Duration::ZERO, "a ttl of nothing was granted");
    let heartbeat = client.registry().heartbeat(grant.id).await?;
    ensure_eq!(G4, heartbeat.ttl, grant.ttl, "the ttl from a heartbeat on");
    Ok(client.registry().close_session(grant.id).await?)
}

async fn heartbeats_write_nothing(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let key = context.key("e")?;
    client.put_with(&key, "", PutOptions::ephemeral(session)).await?;
    let before = present(&client, &key, G18).await?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Key(key.clone())).await?;
    for _ in 0..500 {
        client.registry().heartbeat(session).await?;
    }
    ensure_eq!(G18, present(&client, &key, G18).await?, before, "the key of a session after 500 heartbeats");
    let events = watcher.until_sentinel_by(&client, &key, session).await?;
    ensure_eq!(G18, events, [], "the events of 500 heartbeats");
    Ok(())
}

async fn opening_and_closing_leaves_no_trace(context: Context) -> Outcome {
    let client = context.client().await?;
    let name = context.lock("l")?;
    for number in 0..MANY {
        let session = context.long_session(&client).await?;
        if number % 10 == 0 {
            client.put_with(&context.key("e")?, "", PutOptions::ephemeral(session)).await?;
            let request = LockRequest { name: name.clone(), session, wait: LockWait::Try };
            client.registry().acquire(request).await?;
        }
        client.registry().close_session(session).await?;
    }
    let listing = client.list(&Scope::Tree(context.root()?)).await?;
    ensure_eq!(G11, listing.children, [], "what {MANY} sessions left behind");
    let status = client.inspect_lock(&name).await?;
    ensure_eq!(G11, (status.holder, status.waiters), (None, vec![]), "the lock after {MANY} sessions");
    Ok(())
}

async fn a_session_outlives_the_client_that_opened_it(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let ttl = context.timing().session_ttl;
    let session = client.registry().open_session(SessionOptions::with_ttl(ttl * 3)).await?.id;
    let key = context.key("e")?;
    client.put_with(&key, "", PutOptions::ephemeral(session)).await?;
    client.close().await?;
    for round in 0..4 {
        other.registry().heartbeat(session).await?;
        context.one_ttl_passes(&other, ttl, &round.to_string()).await?;
    }
    present(&other, &key, G4).await?;
    Ok(other.registry().close_session(session).await?)
}

async fn a_late_watcher_sees_the_current_state(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = client.open_session(SessionOptions::with_ttl(context.timing().long_ttl)).await?;
    let first = context.soon("the current state", session.states().next()).await?;
    ensure_eq!(G7, first, Some(SessionState::Connected), "the first state that a watcher sees");
    session.close().await?;
    let mut late = session.states();
    let ended = Some(SessionState::Ended(SessionEnd::Closed));
    ensure_eq!(G7, context.soon("the last state", late.next()).await?, ended, "the state that a late watcher sees");
    ensure_eq!(G7, context.soon("the end of the states", late.next()).await?, None, "what follows the last state");
    Ok(())
}

async fn the_owner_is_told_of_an_end_by_others(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let session = client.open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?;
    other.registry().close_session(session.id()).await?;
    let end = context.soon("the end of the session", session.ended()).await?;
    ensure_eq!(G7, end, SessionEnd::Expired, "how the session ended for its owner");
    let result = session.put(&context.key("late")?, "").await;
    refused(G7, "a put by the session", result, &ErrorKind::SessionEnded).map(drop)
}

async fn an_outage_shorter_than_the_ttl_loses_nothing(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    let ttl = context.timing().session_ttl;
    let session = client.open_session(SessionOptions::with_ttl(ttl * 4)).await?;
    let key = context.key("e")?;
    session.put(&key, "value").await?;
    let mut states = session.states();
    context.soon("connected", states.next()).await?;
    let mut watcher = Watcher::open(&context, &other, &Scope::Tree(context.root()?)).await?;
    cable.cut();
    let suspended = context.soon("suspended", states.next()).await?;
    let legal = matches!(suspended, Some(SessionState::Suspended { .. }));
    ensure!(G7, legal, "after the cut the session is {suspended:?}, not suspended");
    cable.mend();
    let again = context.soon("connected again", states.next()).await?;
    ensure_eq!(G17, again, Some(SessionState::Connected), "the state after the outage");
    let events = watcher.until_sentinel(&other, &context.key("sentinel")?).await?;
    ensure_eq!(G17, events, [], "what others were told of the outage");
    present(&other, &key, G17).await?;
    Ok(session.close().await?)
}

async fn after_an_outage_longer_than_the_ttl_it_has_ended_for_good(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    let options = SessionOptions::with_ttl(context.timing().session_ttl);
    let session = client.open_session(options.clone()).await?;
    let key = context.key("e")?;
    session.put(&key, "old").await?;
    let mut watcher = Watcher::open(&context, &other, &Scope::Key(key.clone())).await?;
    cable.cut();
    watcher.until_deleted(&key).await?;
    cable.mend();
    let end = context.soon("the end of the session", session.ended()).await?;
    ensure!(G6, end != SessionEnd::Closed, "a session that was lost says that it was closed");
    ensure!(G6, !session.is_alive(), "a session revived after its end");
    refused(G6, "a put after the outage", session.put(&key, "late").await, &ErrorKind::SessionEnded)?;
    absent(&other, &key, G6).await?;
    let next = client.open_session(options).await?;
    ensure!(G6, next.id() != session.id(), "the id {} was given again", next.id());
    next.put(&key, "new").await?;
    ensure_eq!(G6, present(&other, &key, G6).await?.value, Bytes::from("new"), "the key of the next session");
    Ok(next.close().await?)
}

async fn the_owner_knows_before_anybody_else(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    for round in 0..3 {
        let session = client.open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?;
        let key = context.key(&round.to_string())?;
        session.put(&key, "").await?;
        let mut watcher = Watcher::open(&context, &other, &Scope::Key(key.clone())).await?;
        cable.cut();
        watcher.until_deleted(&key).await?;
        ensure!(G7, !session.is_alive(), "others see the keys gone, and the owner believes in its session");
        context.soon("the owner's own knowledge", session.ended()).await?;
        cable.mend();
    }
    Ok(())
}

async fn a_frozen_owner_knows_at_the_first_look(context: Context) -> Outcome {
    let other = context.client().await?;
    // A reference in this process runs where it is first used: that must not be what freezes.
    context.long_session(&other).await?;
    let process = Process::start()?;
    let inside = context.clone();
    let (session, guard) = process
        .run(async move {
            let client = inside.client().await?;
            let session = client.open_session(SessionOptions::with_ttl(inside.timing().session_ttl)).await?;
            session.put(&inside.key("e")?, "").await?;
            let guard = session.lock(&inside.lock("l")?, LockWait::Try).await?;
            Ok::<_, Broken>((session, guard))
        })
        .await??;
    let mut watcher = Watcher::open(&context, &other, &Scope::Key(context.key("e")?)).await?;
    let frozen = process.freeze().await?;
    watcher.until_deleted(&context.key("e")?).await?;
    ensure!(G7, guard.check().is_err(), "a frozen holder believes in its lock after it was lost");
    ensure!(G7, !session.is_alive(), "a frozen owner believes in its session after it was lost");
    frozen.thaw();
    let first_look = process.run(async move { (guard.check().is_err(), session.is_alive()) }).await?;
    ensure_eq!(
        G7,
        first_look,
        (true, false),
        "(the lock is lost, the session lives) at the first look after the freeze"
    );
    Ok(())
}

async fn a_freeze_shorter_than_the_ttl_is_harmless(context: Context) -> Outcome {
    let other = context.client().await?;
    // A reference in this process runs where it is first used: that must not be what freezes.
    context.long_session(&other).await?;
    let process = Process::start()?;
    let inside = context.clone();
    let ttl = context.timing().session_ttl;
    let (owner, session) = process
        .run(async move {
            let client = inside.client().await?;
            let session = client.open_session(SessionOptions::with_ttl(ttl * 5)).await?;
            session.put(&inside.key("e")?, "").await?;
            Ok::<_, Broken>((client, session))
        })
        .await??;
    let mut watcher = Watcher::open(&context, &other, &Scope::Key(context.key("e")?)).await?;
    let frozen = process.freeze().await?;
    context.one_ttl_passes(&other, ttl, "frozen").await?;
    frozen.thaw();
    context.one_ttl_passes(&other, ttl, "thawed").await?;
    ensure!(G17, session.is_alive(), "a freeze shorter than the ttl ended the session: {:?}", session.state());
    let key = context.key("e")?;
    let events = watcher.until_sentinel_by(&owner, &key, session.id()).await?;
    ensure_eq!(G17, events, [], "what others were told of the freeze");
    process.run(async move { session.close().await }).await??;
    Ok(())
}

async fn closing_is_bounded_when_the_servers_are_gone(context: Context) -> Outcome {
    let (client, cable) = context.cabled_client().await?;
    let session = client.open_session(SessionOptions::with_ttl(context.timing().long_ttl)).await?;
    cable.cut();
    let start = Instant::now();
    let closed = context.soon("the end of the close", session.close()).await?;
    let (took, limit) = (start.elapsed(), context.timing().request_timeout * 2 + context.slack_since(start));
    ensure!(G18, took <= limit, "closing took {took:?} without servers");
    ensure!(G15, closed.is_err(), "closing without servers succeeded");
    ensure!(G7, !session.is_alive(), "a closed session says that it lives");
    Ok(())
}

async fn the_last_handle_closes_it(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let key = context.key("e")?;
    let session = client.open_session(SessionOptions::with_ttl(context.timing().long_ttl)).await?;
    session.put(&key, "").await?;
    let mut watcher = Watcher::open(&context, &other, &Scope::Key(key.clone())).await?;
    let clone = session.clone();
    drop(session);
    ensure!(G11, clone.is_alive(), "a session ended with the first of two handles");
    present(&other, &key, G11).await?;
    drop(clone);
    watcher.until_deleted(&key).await?;
    absent(&other, &key, G11).await
}
