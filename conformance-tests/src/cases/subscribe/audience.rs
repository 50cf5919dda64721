//! Many subscribers: each is served, and none costs the others anything.

use bytes::Bytes;
use futures::future;
use registry_api::{Capability, Event, Scope};

use super::held;
use crate::Guarantee::{G12, G18};
use crate::broken::{ensure, ensure_eq};
use crate::{Broken, Context, Outcome, Watcher};

pub(super) async fn two_subscribers_of_one_scope_are_both_served(context: Context) -> Outcome {
    let (one, other, writer) = (context.client().await?, context.client().await?, context.client().await?);
    let scope = Scope::Tree(context.root()?);
    let mut watchers = [
        Watcher::open(&context, &one, &scope).await?,
        Watcher::open(&context, &one, &scope).await?,
        Watcher::open(&context, &other, &scope).await?,
    ];
    for number in 0..50 {
        writer.put(&context.key(&(number % 3).to_string())?, number.to_string()).await?;
    }
    let end = writer.put(&context.key("end")?, "").await?;
    let every = writer.support(Capability::EveryVersion) == registry_api::Support::Full;
    for watcher in &mut watchers {
        watcher.until_revision(end).await?;
        let events = watcher.history().len();
        ensure!(G12, events == 52 || !every, "a subscriber saw {events} events of 51 changes and a snapshot");
    }
    Ok(())
}

pub(super) async fn hundreds_of_subscribers_of_one_client_are_all_served(context: Context) -> Outcome {
    let (client, writer) = (context.client().await?, context.client().await?);
    let key = context.key("a")?;
    let mut watchers = Vec::new();
    for _ in 0..500 {
        watchers.push(Watcher::open(&context, &client, &Scope::Key(key.clone())).await?);
    }
    let revision = writer.put(&key, "").await?;
    for watcher in &mut watchers {
        watcher.until_revision(revision).await?;
    }
    Ok(())
}

pub(super) async fn a_dropped_subscriber_disturbs_nobody(context: Context) -> Outcome {
    let (client, writer) = (context.client().await?, context.client().await?);
    let scope = Scope::Tree(context.root()?);
    let mut kept = Watcher::open(&context, &client, &scope).await?;
    for number in 0..100 {
        let dropped = Watcher::open(&context, &client, &scope).await?;
        writer.put(&context.key("a")?, number.to_string()).await?;
        drop(dropped);
    }
    let end = writer.put(&context.key("end")?, "").await?;
    kept.until_revision(end).await
}

pub(super) async fn a_slow_subscriber_costs_itself_only(context: Context) -> Outcome {
    let (client, writer) = (context.client().await?, context.client().await?);
    let scope = Scope::Tree(context.root()?);
    let mut slow = Watcher::open(&context, &client, &scope).await?;
    let mut quick = Watcher::open(&context, &client, &scope).await?;
    let (value, root) = (Bytes::from(vec![7; 2048]), context.key("slow")?);
    // Enough for any buffer that a server may keep for one subscriber.
    for _ in 0..50 {
        let puts = (0..100).map(|number| {
            let (writer, root, value) = (&writer, &root, value.clone());
            async move { Ok::<_, Broken>(writer.put(&root.join(&(number % 10).to_string())?, value).await?) }
        });
        let revisions = future::try_join_all(puts).await?;
        quick.until_revision(revisions.into_iter().max().unwrap_or_default()).await?;
    }
    let end = writer.put(&context.key("end")?, "").await?;
    quick.until_revision(end).await?;
    slow.until_revision(end).await?;
    let expected = held(&writer, &scope).await?;
    ensure_eq!(G12, *slow.entries(), expected, "the map of the slow subscriber");
    ensure_eq!(G12, *quick.entries(), expected, "the map of the quick subscriber");
    let gaps = |watcher: &Watcher| watcher.history().iter().filter(|e| matches!(e, Event::Snapshot { .. })).count();
    ensure_eq!(G18, gaps(&quick), 1, "how many snapshots the quick subscriber needed");
    Ok(())
}
