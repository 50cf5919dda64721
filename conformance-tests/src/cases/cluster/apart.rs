//! What clients notice when a member is cut off or stands still while the others go on.

use bytes::Bytes;
use registry_api::SessionOptions;

use super::{NOT_NOW, another, put_at_last};
use crate::Guarantee::{G1, G17};
use crate::broken::{ensure, ensure_eq};
use crate::cases::keys::present;
use crate::refusal::refused_as_one_of;
use crate::{Broken, Context, Fault, Outcome};

pub(super) async fn an_isolated_leader_stops_serving(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let (inside, outside) = (context.client_at(leader).await?, context.client_at(another(&context, leader, 1)).await?);
    let key = context.key("a")?;
    inside.put(&key, "before").await?;
    context.inject(Fault::Isolate(leader)).await?;
    put_at_last(&context, &outside, "a", "after").await?;
    let get = context.soon("the answer of the isolated leader", inside.get(&key)).await?;
    match get {
        Ok(entry) => {
            let value = entry.map(|entry| entry.value);
            ensure_eq!(G1, value, Some(Bytes::from("after")), "what a client of the isolated leader reads");
        }
        Err(error) => drop(refused_as_one_of(G1, "a read", Err::<(), _>(error), &NOT_NOW)?),
    }
    context.inject(Fault::Heal).await?;
    put_at_last(&context, &inside, "b", "healed").await?;
    ensure_eq!(G1, present(&inside, &key, G1).await?.value, Bytes::from("after"), "what it reads when healed");
    Ok(())
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
    let leader = context.leader().await?;
    let (inside, outside) = (context.client_at(leader).await?, context.client_at(another(&context, leader, 1)).await?);
    let key = context.key("a")?;
    inside.put(&key, "before").await?;
    context.inject(Fault::Pause(leader)).await?;
    put_at_last(&context, &outside, "a", "after").await?;
    let read = tokio::spawn(async move { inside.get(&key).await });
    context.inject(Fault::Resume(leader)).await?;
    if let Ok(entry) =
        context.soon("the answer of the leader that stood still", read).await?.map_err(Broken::harness)?
    {
        let value = entry.map(|entry| entry.value);
        ensure_eq!(G1, value, Some(Bytes::from("after")), "what the leader that stood still answers");
    }
    put_at_last(&context, &outside, "b", "").await
}

pub(super) async fn a_leader_that_stood_still_ends_no_session_early(context: Context) -> Outcome {
    let leader = context.leader().await?;
    let client = context.client_at(another(&context, leader, 1)).await?;
    let ttl = context.timing().session_ttl * 4;
    let session = client.open_session(SessionOptions::with_ttl(ttl)).await?;
    session.put(&context.key("e")?, "").await?;
    context.inject(Fault::Pause(leader)).await?;
    put_at_last(&context, &client, "probe", "").await?;
    context.one_ttl_passes(&client, ttl, "paused").await?;
    context.inject(Fault::Resume(leader)).await?;
    context.one_ttl_passes(&client, ttl, "resumed").await?;
    ensure!(G17, session.is_alive(), "a leader that stood still ended a session: {:?}", session.state());
    present(&client, &context.key("e")?, G17).await?;
    Ok(session.close().await?)
}
