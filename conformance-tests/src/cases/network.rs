//! What clients notice when the network between them and a server is cut, silent, half open or slow, while other clients
//! go on with other servers.

use bytes::Bytes;
use futures::future;
use registry_api::{Effect, Event, LockWait, Scope, SessionOptions};
use tokio::time::Instant;

use super::cluster::put_at_last;
use super::keys::present;
use super::subscribe::{held, random_change};
use crate::Guarantee::{G7, G8, G12, G15, G17, G18};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::{Broken, Case, Context, Fault, Outcome, Watcher};

/// The server of the clients that are disturbed.
const NEAR: usize = 0;
/// The server of those that are not.
const FAR: usize = 1;

pub(super) fn cases() -> Vec<Case> {
    cases!["network";
        a_cut_connection_loses_no_event => [G12, G17]
            .members(3) .fault(Fault::CutClients(0)) .fault(Fault::MendClients);
        a_silent_network_loses_no_event => [G12, G17]
            .members(3) .fault(Fault::HoldClients(0)) .fault(Fault::MendClients);
        resets_of_connections_end_no_session => [G17] .members(3) .fault(Fault::ResetClients(0));
        a_silence_shorter_than_the_ttl_ends_no_session => [G17]
            .members(3) .fault(Fault::HoldClients(0)) .fault(Fault::MendClients);
        a_silence_longer_than_the_ttl_is_known_to_the_holder_first => [G7, G8]
            .members(3) .fault(Fault::HoldClients(0)) .fault(Fault::MendClients);
        an_answer_that_does_not_come_is_not_guessed => [G15]
            .members(3) .fault(Fault::HoldAnswers(0)) .fault(Fault::MendClients);
        a_server_that_stands_still_hangs_nobody => [G18] .members(3) .fault(Fault::Pause(0)) .fault(Fault::Resume(0));
        closing_does_not_wait_for_a_silent_server => [G18]
            .members(3) .fault(Fault::HoldClients(0)) .fault(Fault::MendClients);
        clients_leave_a_server_that_refuses_them => [G17]
            .members(3) .fault(Fault::CutClients(0)) .fault(Fault::MendClients);
        a_slow_network_changes_nothing => [G17] .members(3) .fault(Fault::DelayClients(0)) .fault(Fault::MendClients);
    ]
}

async fn a_cut_connection_loses_no_event(context: Context) -> Outcome {
    an_outage_loses_no_event(&context, Fault::CutClients(NEAR)).await
}

async fn a_silent_network_loses_no_event(context: Context) -> Outcome {
    an_outage_loses_no_event(&context, Fault::HoldClients(NEAR)).await
}

/// A subscription is open while `outage` comes and goes; others write before, meanwhile and after.
async fn an_outage_loses_no_event(context: &Context, outage: Fault) -> Outcome {
    let (near, far) = (context.client_at(NEAR).await?, context.client_at(FAR).await?);
    let scope = Scope::Tree(context.key("storm")?);
    let mut watcher = Watcher::open(context, &near, &scope).await?;
    let mut random = context.random(0);
    for round in 0..3 {
        for disturbance in [None, Some(outage), Some(Fault::MendClients)] {
            if let Some(fault) = disturbance {
                context.inject(fault).await?;
            }
            for _ in 0..20 {
                far.commit(random_change(context, &mut random)?).await?;
            }
        }
        let end = far.put(&context.key("storm/end")?, round.to_string()).await?;
        watcher.until_revision(end).await?;
        ensure_eq!(G12, *watcher.entries(), held(&far, &scope).await?, "the map after outage {round}");
    }
    Ok(())
}

async fn resets_of_connections_end_no_session(context: Context) -> Outcome {
    let (near, far) = (context.client_at(NEAR).await?, context.client_at(FAR).await?);
    let session = near.open_session(SessionOptions::with_ttl(context.timing().session_ttl * 4)).await?;
    let scope = Scope::Tree(context.key("w")?);
    session.put(&context.key("w/e")?, "").await?;
    let mut watcher = Watcher::open(&context, &far, &scope).await?;
    for round in 0..5 {
        context.inject(Fault::ResetClients(NEAR)).await?;
        put_at_last(&context, &near, "probe", &round.to_string()).await?;
    }
    nothing_ended(&context, &mut watcher, &far).await?;
    ensure!(G17, session.is_alive(), "resets ended a session: {:?}", session.state());
    Ok(session.close().await?)
}

/// Fails when a key of the scope `w` was told as deleted.
async fn nothing_ended(context: &Context, watcher: &mut Watcher, writer: &registry_api::RegistryClient) -> Outcome {
    let events = watcher.until_sentinel(writer, &context.key("w/sentinel")?).await?;
    let ended: Vec<_> = events.iter().filter(|event| matches!(event, Event::Delete { .. })).collect();
    ensure!(G17, ended.is_empty(), "told as deleted, while the session lives: {ended:?}");
    Ok(())
}

async fn a_silence_shorter_than_the_ttl_ends_no_session(context: Context) -> Outcome {
    let (near, far) = (context.client_at(NEAR).await?, context.client_at(FAR).await?);
    let (short, long) = (context.timing().session_ttl, context.timing().session_ttl * 8);
    let session = near.open_session(SessionOptions::with_ttl(long)).await?;
    session.put(&context.key("w/e")?, "").await?;
    let mut watcher = Watcher::open(&context, &far, &Scope::Tree(context.key("w")?)).await?;
    context.inject(Fault::HoldClients(NEAR)).await?;
    context.one_ttl_passes(&far, short, "silent").await?;
    context.inject(Fault::MendClients).await?;
    context.one_ttl_passes(&far, long, "mended").await?;
    nothing_ended(&context, &mut watcher, &far).await?;
    ensure!(G17, session.is_alive(), "a short silence ended a session: {:?}", session.state());
    present(&far, &context.key("w/e")?, G17).await?;
    Ok(session.close().await?)
}

async fn a_silence_longer_than_the_ttl_is_known_to_the_holder_first(context: Context) -> Outcome {
    let (near, far) = (context.client_at(NEAR).await?, context.client_at(FAR).await?);
    let session = near.open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?;
    let (key, name) = (context.key("e")?, context.lock("l")?);
    let guard = session.lock(&name, LockWait::Try).await?;
    session.put(&key, "").await?;
    let mut watcher = Watcher::open(&context, &far, &Scope::Key(key.clone())).await?;
    let next = far.open_session(SessionOptions::with_ttl(context.timing().long_ttl)).await?;
    context.inject(Fault::HoldClients(NEAR)).await?;
    let told = async {
        watcher.until_deleted(&key).await?;
        let state = session.state();
        ensure!(G7, !session.is_alive(), "others saw the end of a session whose holder believes in it: {state:?}");
        Ok(())
    };
    let taken = async {
        let taken = context.soon("the lock of a silent holder", next.lock(&name, LockWait::Forever)).await??;
        ensure!(G8, guard.check().is_err(), "two hold a lock: {:?} and {:?}", guard.grant(), taken.grant());
        Ok::<_, Broken>(taken)
    };
    let ((), taken) = future::try_join(told, taken).await?;
    context.inject(Fault::MendClients).await?;
    put_at_last(&context, &near, "probe", "").await?;
    ensure!(G7, !session.is_alive(), "a session revived: {:?}", session.state());
    taken.check()?;
    taken.release().await?;
    Ok(next.close().await?)
}

async fn an_answer_that_does_not_come_is_not_guessed(context: Context) -> Outcome {
    let (near, far) = (context.client_at(NEAR).await?, context.client_at(FAR).await?);
    for round in 0..3 {
        let key = context.key(&format!("a/{round}"))?;
        put_at_last(&context, &near, "probe", &round.to_string()).await?;
        context.inject(Fault::HoldAnswers(NEAR)).await?;
        let result = context.soon("the failure of a put", near.put(&key, "lost")).await?;
        context.inject(Fault::MendClients).await?;
        put_at_last(&context, &near, "probe", "mended").await?;
        let found = far.get(&key).await?.map(|entry| entry.value);
        let lost = Some(Bytes::from("lost"));
        match result {
            Ok(_revision) => ensure_eq!(G15, found, lost, "a put that is told as done"),
            Err(error) if error.effect() == Effect::NotApplied => {
                ensure_eq!(G15, found, None, "a put that is told as not applied ({error})");
            }
            Err(_unknown) => {}
        }
    }
    Ok(())
}

async fn a_server_that_stands_still_hangs_nobody(context: Context) -> Outcome {
    let follower = (context.leader().await? + 1) % context.members();
    let other = (follower + 1) % context.members();
    let (near, far) = (context.client_at(follower).await?, context.client_at(other).await?);
    let key = context.key("a")?;
    near.put(&key, "before").await?;
    context.inject(Fault::Pause(follower)).await?;
    let start = Instant::now();
    let answer = context.soon("an answer from a server that stands still", near.get(&key)).await?;
    let (took, limit) = (start.elapsed(), context.timing().request_timeout);
    let slack = context.slack_since(start);
    ensure!(G18, took <= limit * 2 + slack, "a call took {took:?} ({answer:?}); its limit is {limit:?}");
    put_at_last(&context, &far, "a", "after").await?;
    context.inject(Fault::Resume(follower)).await?;
    put_at_last(&context, &near, "b", "resumed").await?;
    ensure_eq!(G18, present(&near, &key, G18).await?.value, Bytes::from("after"), "what was written meanwhile");
    Ok(())
}

async fn closing_does_not_wait_for_a_silent_server(context: Context) -> Outcome {
    let near = context.client_at(NEAR).await?;
    let session = near.open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?;
    session.put(&context.key("e")?, "").await?;
    context.inject(Fault::HoldClients(NEAR)).await?;
    let start = Instant::now();
    // Nobody can say whether the server heard of it: only that it returns counts.
    let _ = context.soon("the end of a session", session.close()).await?;
    let _ = context.soon("the end of a client", near.close()).await?;
    let (took, limit) = (start.elapsed(), context.timing().request_timeout);
    let slack = context.slack_since(start);
    ensure!(G18, took <= limit * 3 + slack, "closing took {took:?}; the limit of a request is {limit:?}");
    context.inject(Fault::MendClients).await
}

async fn clients_leave_a_server_that_refuses_them(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let session = client.open_session(SessionOptions::with_ttl(context.timing().session_ttl * 8)).await?;
    session.put(&context.key("w/e")?, "").await?;
    let mut watcher = Watcher::open(&context, &other, &Scope::Tree(context.key("w")?)).await?;
    for member in 0..context.members() {
        context.inject(Fault::CutClients(member)).await?;
        put_at_last(&context, &client, "probe", &member.to_string()).await?;
        put_at_last(&context, &other, "probe", &member.to_string()).await?;
        context.inject(Fault::MendClients).await?;
    }
    nothing_ended(&context, &mut watcher, &other).await?;
    ensure!(G17, session.is_alive(), "a change of the server ended a session: {:?}", session.state());
    Ok(session.close().await?)
}

async fn a_slow_network_changes_nothing(context: Context) -> Outcome {
    let (near, far) = (context.client_at(NEAR).await?, context.client_at(FAR).await?);
    context.inject(Fault::DelayClients(NEAR)).await?;
    let ttl = context.timing().session_ttl * 4;
    let session = near.open_session(SessionOptions::with_ttl(ttl)).await?;
    session.put(&context.key("w/e")?, "").await?;
    let mut watcher = Watcher::open(&context, &near, &Scope::Tree(context.key("w")?)).await?;
    let guard = session.lock(&context.lock("l")?, LockWait::Try).await?;
    context.one_ttl_passes(&far, ttl, "slow").await?;
    guard.check()?;
    guard.put(&context.key("guarded")?, "").await?;
    nothing_ended(&context, &mut watcher, &far).await?;
    ensure!(G17, session.is_alive(), "a slow network ended a session: {:?}", session.state());
    guard.release().await?;
    context.inject(Fault::MendClients).await?;
    Ok(session.close().await?)
}
