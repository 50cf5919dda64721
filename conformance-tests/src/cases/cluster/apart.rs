//! What clients notice when a member is cut off or stands still while the others go on.

use std::time::Duration;

use bytes::Bytes;
use registry_api::{ErrorKind, LockWait, RegistryClient, SessionOptions};

use super::{NOT_NOW, another, put_at_last};
use crate::Guarantee::{G1, G9, G17};
use crate::broken::{ensure, ensure_eq};
use crate::cases::keys::present;
use crate::cases::lock::acquire;
use crate::refusal::{refused, refused_as_one_of};
use crate::{Broken, Context, Fault, Outcome};

pub(super) async fn an_isolated_leader_serves_nothing_stale(context: Context) -> Outcome {
    let inside = client_of_an_isolated_leader(&context).await?;
    let get = context.soon("the answer of the isolated leader", inside.get(&context.key("a")?)).await?;
    ensure!(G1, is_not_stale(get)?, "a client of the isolated leader reads what was there before");
    heals(&context, &inside).await
}

/// The limit of the case above: what is stale for a while is not stale for long.
pub(super) async fn an_isolated_leader_stops_serving(context: Context) -> Outcome {
    let inside = client_of_an_isolated_leader(&context).await?;
    nothing_stale_at_last(&context, &inside).await?;
    heals(&context, &inside).await
}

/// A client of a leader that was cut off, while its successor took a write.
async fn client_of_an_isolated_leader(context: &Context) -> Outcome<RegistryClient> {
    let (leader, inside, outside) = beside(context).await?;
    inside.put(&context.key("a")?, "before").await?;
    context.inject(Fault::Isolate(leader)).await?;
    put_at_last(context, &outside, "a", "after").await?;
    Ok(inside)
}

async fn heals(context: &Context, inside: &RegistryClient) -> Outcome {
    context.inject(Fault::Heal).await?;
    put_at_last(context, inside, "b", "healed").await?;
    ensure_eq!(G1, present(inside, &context.key("a")?, G1).await?.value, Bytes::from("after"), "the value when healed");
    Ok(())
}

/// The leader, a client of it, and one of another member.
async fn beside(context: &Context) -> Outcome<(usize, RegistryClient, RegistryClient)> {
    let leader = context.leader().await?;
    Ok((leader, context.client_at(leader).await?, context.client_at(another(context, leader, 1)).await?))
}

/// Whether what a read of the key gave is no older than what was acknowledged before it: the value, or a refusal.
fn is_not_stale(read: registry_api::Result<Option<registry_api::Entry>>) -> Outcome<bool> {
    match read {
        Ok(entry) => Ok(entry.is_some_and(|entry| entry.value == "after")),
        Err(error) => refused_as_one_of(G1, "a read", Err::<(), _>(error), &NOT_NOW).map(|_refusal| true),
    }
}

async fn nothing_stale_at_last(context: &Context, client: &RegistryClient) -> Outcome {
    let key = context.key("a")?;
    let look = || async { is_not_stale(client.get(&key).await) };
    context.eventually(G1, "what a deposed leader answers is not stale", look, |fresh| *fresh).await.map(drop)
}

pub(super) async fn an_isolated_member_that_returns_deposes_nobody(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let alone = another(&context, leader, 1);
    let client = context.client_at(another(&context, leader, 2)).await?;
    context.inject(Fault::Isolate(alone)).await?;
    // Long enough for the isolated member to want an election several times.
    for round in 0..5 {
        context.one_ttl_passes(&client, context.timing().session_ttl, &round.to_string()).await?;
    }
    context.inject(Fault::Heal).await?;
    for round in 5..8 {
        context.one_ttl_passes(&client, context.timing().session_ttl, &round.to_string()).await?;
    }
    ensure_eq!(G17, context.leader().await?, leader, "the leader after an isolated member came back");
    let back = context.client_at(alone).await?;
    client.put(&context.key("a")?, "healed").await?;
    ensure_eq!(G1, present(&back, &context.key("a")?, G1).await?.value, Bytes::from("healed"), "what it reads");
    Ok(())
}

pub(super) async fn a_leader_that_stood_still_serves_nothing_stale(context: Context) -> Outcome {
    let (leader, inside, outside) = beside(&context).await?;
    inside.put(&context.key("a")?, "before").await?;
    let read = read_of_a_paused_leader(&context, leader, &inside, &outside).await?;
    ensure!(G1, is_not_stale(read)?, "the leader that stood still answers with what was there before");
    put_at_last(&context, &outside, "b", "").await
}

/// The limit of the case above: what is stale for a while is not stale for long.
pub(super) async fn a_leader_that_stood_still_serves_the_present_at_last(context: Context) -> Outcome {
    let (leader, inside, outside) = beside(&context).await?;
    inside.put(&context.key("a")?, "before").await?;
    drop(read_of_a_paused_leader(&context, leader, &inside, &outside).await?);
    nothing_stale_at_last(&context, &inside).await?;
    put_at_last(&context, &inside, "b", "").await?;
    ensure_eq!(G1, present(&inside, &context.key("a")?, G1).await?.value, Bytes::from("after"), "the value at last");
    Ok(())
}

/// A read that waits at the leader while that stands still and another one is elected.
async fn read_of_a_paused_leader(
    context: &Context,
    leader: usize,
    inside: &RegistryClient,
    outside: &RegistryClient,
) -> Outcome<registry_api::Result<Option<registry_api::Entry>>> {
    let (key, reader) = (context.key("a")?, inside.clone());
    context.inject(Fault::Pause(leader)).await?;
    put_at_last(context, outside, "a", "after").await?;
    let read = tokio::spawn(async move { reader.get(&key).await });
    context.inject(Fault::Resume(leader)).await?;
    context.soon("the answer of the leader that stood still", read).await?.map_err(Broken::harness)
}

pub(super) async fn a_leader_that_stood_still_ends_no_session_early(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let client = context.client_at(another(&context, leader, 1)).await?;
    let ttl = context.timing().session_ttl * 4;
    let session = client.open_session(SessionOptions::with_ttl(ttl)).await?;
    session.put(&context.key("e")?, "").await?;
    stand_still(&context, leader, &client, ttl).await?;
    ensure!(G17, session.is_alive(), "a leader that stood still ended a session: {:?}", session.state());
    present(&client, &context.key("e")?, G17).await?;
    Ok(session.close().await?)
}

/// The limit of the case above: where the servers end a session by mistake, its holder is told, and fenced off.
pub(super) async fn a_holder_is_told_the_truth_after_a_leader_stood_still(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let client = context.client_at(another(&context, leader, 1)).await?;
    let ttl = context.timing().session_ttl * 4;
    let session = client.open_session(SessionOptions::with_ttl(ttl)).await?;
    let (name, key) = (context.lock("l")?, context.key("a")?);
    let guard = session.lock(&name, LockWait::Try).await?;
    guard.put(&key, "before").await?;
    stand_still(&context, leader, &client, ttl).await?;
    if session.is_alive() {
        guard.check()?;
        return Ok(guard.put(&key, "after").await.map(drop)?);
    }
    refused(G9, "a put of a holder whose session was ended", guard.put(&key, "after").await, &ErrorKind::LockLost)?;
    let next = acquire(&client, &name, context.long_session(&client).await?, LockWait::Try).await?;
    ensure!(G9, next.token > guard.token(), "the token {} follows {}", next.token, guard.token());
    ensure_eq!(G9, present(&client, &key, G9).await?.value, Bytes::from("before"), "what the former holder left");
    Ok(())
}

/// The leader stands still for longer than `ttl`, and goes on for as long.
async fn stand_still(context: &Context, leader: usize, client: &RegistryClient, ttl: Duration) -> Outcome {
    context.inject(Fault::Pause(leader)).await?;
    put_at_last(context, client, "probe", "").await?;
    context.one_ttl_passes(client, ttl, "paused").await?;
    context.inject(Fault::Resume(leader)).await?;
    context.one_ttl_passes(client, ttl, "resumed").await
}
