//! Subscriptions that go on from a revision.

use futures::future;
use registry_api::{Capability, Event, Scope, SnapshotReason, SubscribeFrom};

use super::subscribe::{held, random_change};
use crate::Guarantee::{G12, G13, G14, G18};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::{Broken, Case, Context, Fault, Outcome, Watcher};

/// The most changes that are made to outgrow the history of a backend.
const OUTGROWN_AT: usize = 200_000;
/// How many of them are made between two looks.
const ROUND: usize = 3200;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cases!["resume";
        every_change_after_the_revision_is_told_once => [G12, G13] .needs(Capability::ResumeFromRevision);
        a_key_created_deleted_and_created_meanwhile_is_told_so => [G12, G14] .needs(Capability::ResumeFromRevision);
        nothing_is_told_again_at_the_present => [G13] .needs(Capability::ResumeFromRevision);
        another_client_can_go_on => [G12] .needs(Capability::ResumeFromRevision);
        every_revision_of_a_subscription_is_a_place_to_resume => [G12, G13] .needs(Capability::ResumeFromRevision);
        only_the_scope_is_told => [G13] .needs(Capability::ResumeFromRevision);
        the_end_of_a_session_is_told => [G14, G12] .needs(Capability::ResumeFromRevision);
        a_compacted_history_is_replaced_by_a_snapshot => [G12, G18] .alone() .needs(Capability::ResumeFromRevision);
        a_cut_connection_loses_no_event => [G12];
    ];
    cases.push(Case::missing(
        "resume",
        "after_a_restore_comes_a_snapshot_that_says_so",
        &[G12],
        "needs backup and restore",
    ));
    cases
}

async fn every_change_after_the_revision_is_told_once(context: Context) -> Outcome {
    let client = context.client().await?;
    let scope = Scope::Tree(context.root()?);
    client.put(&context.key("a")?, "old").await?;
    let from = client.put(&context.key("b")?, "old").await?;
    let mut revisions = vec![client.put(&context.key("a")?, "new").await?];
    revisions.push(client.delete(&context.key("b")?).await?.revision);
    revisions.push(client.put(&context.key("c")?, "new").await?);
    let mut watcher = Watcher::resume(&context, &client, &scope, from).await?;
    revisions.push(client.put(&context.key("d")?, "live").await?);
    for revision in revisions {
        let event = watcher.next().await?;
        ensure_eq!(G12, event.revision(), revision, "the revision of the next event after {from}: {event:?}");
    }
    Ok(())
}

async fn a_key_created_deleted_and_created_meanwhile_is_told_so(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let from = client.put(&context.key("other")?, "").await?;
    client.put(&key, "1").await?;
    client.delete(&key).await?;
    client.put(&key, "2").await?;
    let mut watcher = Watcher::resume(&context, &client, &Scope::Key(key), from).await?;
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(match watcher.next().await? {
            Event::Put { entry, previous } => ("put", entry.value, previous.map(|previous| previous.value)),
            Event::Delete { previous, .. } => ("delete", previous.value, None),
            other => return Err(Broken::new(G12, format!("resumed with {other:?}"))),
        });
    }
    let expected = [("put", "1".into(), None), ("delete", "1".into(), None), ("put", "2".into(), None)];
    ensure_eq!(G14, told, expected, "what is told of the life of the key meanwhile");
    Ok(())
}

async fn nothing_is_told_again_at_the_present(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    client.put(&key, "1").await?;
    let now = client.put(&key, "2").await?;
    let mut watcher = Watcher::resume(&context, &client, &Scope::Key(key.clone()), now).await?;
    let next = client.put(&key, "3").await?;
    let event = watcher.next().await?;
    ensure_eq!(G13, event.revision(), next, "the revision of the first event after the present: {event:?}");
    Ok(())
}

async fn another_client_can_go_on(context: Context) -> Outcome {
    let (writer, one, other) = (context.client().await?, context.client().await?, context.client().await?);
    let scope = Scope::Tree(context.root()?);
    let mut first = Watcher::open(&context, &one, &scope).await?;
    let middle = writer.put(&context.key("a")?, "1").await?;
    first.until_revision(middle).await?;
    let reached = first.revision();
    drop(first);
    let last = writer.put(&context.key("a")?, "2").await?;
    let mut second = Watcher::resume(&context, &other, &scope, reached).await?;
    let event = second.next().await?;
    ensure_eq!(G12, event.revision(), last, "the revision of the first event of the next client: {event:?}");
    Ok(())
}

async fn every_revision_of_a_subscription_is_a_place_to_resume(context: Context) -> Outcome {
    let client = context.client().await?;
    let scope = Scope::Tree(context.root()?);
    let mut whole = Watcher::open(&context, &client, &scope).await?;
    let mut random = context.random(0);
    for _ in 0..40 {
        client.commit(random_change(&context, &mut random)?).await?;
    }
    let end = client.put(&context.key("end")?, "").await?;
    whole.until_revision(end).await?;
    let events = whole.history();
    for event in events {
        let from = event.revision();
        let expected: Vec<_> = events.iter().filter(|event| event.revision() > from).collect();
        let mut resumed = Watcher::resume(&context, &client, &scope, from).await?;
        for next in expected {
            ensure_eq!(G12, resumed.next().await?, *next, "the next event after resuming from {from}");
        }
    }
    Ok(())
}

async fn only_the_scope_is_told(context: Context) -> Outcome {
    let client = context.client().await?;
    let from = client.put(&context.key("start")?, "").await?;
    for outside in ["10", "10/a", "1-x", "2"] {
        client.put(&context.key(outside)?, "").await?;
    }
    let inside = client.put(&context.key("1/a")?, "").await?;
    let mut watcher = Watcher::resume(&context, &client, &Scope::Tree(context.key("1")?), from).await?;
    let event = watcher.next().await?;
    ensure_eq!(G13, event.revision(), inside, "the first event of the scope: {event:?}");
    Ok(())
}

async fn the_end_of_a_session_is_told(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let key = context.key("e")?;
    let options = registry_api::PutOptions::ephemeral(session);
    let from = client.put_with(&key, "last", options).await?;
    client.registry().close_session(session).await?;
    let mut watcher = Watcher::resume(&context, &client, &Scope::Key(key.clone()), from).await?;
    let (last, _) = watcher.until_deleted(&key).await?;
    ensure_eq!(G14, &*last.value, b"last", "the last value of a key that ended meanwhile");
    Ok(())
}

async fn a_compacted_history_is_replaced_by_a_snapshot(context: Context) -> Outcome {
    let client = context.client().await?;
    let scope = Scope::Tree(context.root()?);
    let from = client.put(&context.key("a")?, "").await?;
    for round in 0..OUTGROWN_AT / ROUND {
        let writers = (0..32).map(|stream| {
            let (client, context) = (&client, &context);
            async move {
                let mut random = context.random((round * 32 + stream) as u64);
                for _ in 0..ROUND / 32 {
                    client.commit(random_change(context, &mut random)?).await?;
                }
                Ok::<_, Broken>(())
            }
        });
        future::try_join_all(writers).await?;
        // Servers that forget only when they are told to are told; others refuse the fault.
        let _ = context.inject(Fault::Compact).await;
        let mut subscription = client.subscribe_from(&scope, SubscribeFrom::After(from)).await?;
        match context.soon("the first event", subscription.next()).await? {
            Some(Ok(Event::Snapshot { listing, reason: SnapshotReason::Compacted })) => {
                let told: Vec<_> = listing.entries().map(|entry| entry.key.clone()).collect();
                let holds: Vec<_> = held(&client, &scope).await?.into_keys().collect();
                ensure_eq!(G12, told, holds, "the keys of the snapshot in place of the history");
                return Ok(());
            }
            // The history is there, and told, or too long for the buffer of one subscriber.
            Some(Ok(Event::Put { .. } | Event::Delete { .. })) => {}
            Some(Ok(Event::Snapshot { reason: SnapshotReason::Overflow, .. })) => {}
            other => return Err(Broken::new(G12, format!("resumed from {from} with {other:?}"))),
        }
    }
    Err(Broken::new(G18, format!("the history of events is still whole after {OUTGROWN_AT} transactions")))
}

async fn a_cut_connection_loses_no_event(context: Context) -> Outcome {
    let ((client, cable), writer) = (context.cabled_client().await?, context.client().await?);
    let scope = Scope::Tree(context.root()?);
    let mut watcher = Watcher::open(&context, &client, &scope).await?;
    for round in 0..5 {
        cable.cut();
        for number in 0..20 {
            writer.put(&context.key(&(number % 4).to_string())?, format!("{round}.{number}")).await?;
            writer.delete(&context.key(&(number % 3).to_string())?).await?;
        }
        cable.mend();
        let end = writer.put(&context.key("end")?, round.to_string()).await?;
        watcher.until_revision(end).await?;
    }
    ensure!(G12, *watcher.entries() == held(&writer, &scope).await?, "the map after cuts is not what the scope holds");
    Ok(())
}
