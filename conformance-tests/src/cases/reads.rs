//! Reads: every acknowledged write is seen, by whoever answers.

use bytes::Bytes;
use futures::future;
use registry_api::{Capability, ListOptions, ReadLevel, Scope};

use crate::Guarantee::{G1, G2};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::{Broken, Case, Context, Outcome};

/// How many writes are looked for by another client.
const ROUNDS: usize = 1000;
/// How many writers share them.
const LANES: usize = 4;

pub(super) fn cases() -> Vec<Case> {
    cases!["reads";
        a_write_is_seen_by_every_other_client => [G1] .needs(Capability::LinearizableReads);
        a_delete_is_seen_by_every_other_client => [G1] .needs(Capability::LinearizableReads);
        a_listing_shows_the_writes_of_every_other_client => [G1] .needs(Capability::LinearizableReads);
        a_stale_read_shows_own_writes => [G2];
        a_stale_listing_shows_own_writes => [G2];
        reads_of_one_client_never_go_back => [G1] .needs(Capability::LinearizableReads);
    ]
}

async fn a_write_is_seen_by_every_other_client(context: Context) -> Outcome {
    // Side by side, each on a key of its own: what a round costs is mostly waiting for the disk.
    future::try_join_all((0..LANES).map(|lane| writes_are_seen(&context, lane))).await?;
    Ok(())
}

async fn writes_are_seen(context: &Context, lane: usize) -> Outcome {
    let writer = context.client().await?;
    let readers = [context.client().await?, context.client().await?, context.client().await?];
    let key = context.key(&format!("lane-{lane}"))?;
    for (number, reader) in (0..ROUNDS / LANES).zip(readers.iter().cycle()) {
        let value = number.to_string();
        let revision = writer.put(&key, value.clone()).await?;
        let lookup = reader.lookup(&key, ReadLevel::Linearizable).await?;
        let seen = lookup.entry.map(|entry| (entry.value, entry.modified));
        ensure_eq!(G1, seen, Some((Bytes::from(value), revision)), "what another client reads after write {number}");
    }
    Ok(())
}

async fn a_delete_is_seen_by_every_other_client(context: Context) -> Outcome {
    let (writer, reader) = (context.client().await?, context.client().await?);
    let key = context.key("a")?;
    for number in 0..100 {
        writer.put(&key, "").await?;
        writer.delete(&key).await?;
        ensure_eq!(G1, reader.get(&key).await?, None, "what another client reads after delete {number}");
    }
    Ok(())
}

async fn a_listing_shows_the_writes_of_every_other_client(context: Context) -> Outcome {
    let (writer, reader) = (context.client().await?, context.client().await?);
    let scope = Scope::Tree(context.root()?);
    for number in 0..200 {
        let key = context.key(&format!("{number:03}"))?;
        let revision = writer.put(&key, "").await?;
        let listing = reader.list(&scope).await?;
        ensure!(G1, listing.revision >= revision, "a listing after {revision} was served at {}", listing.revision);
        ensure_eq!(G1, listing.keys().last(), Some(&key), "the last key after write {number}");
    }
    Ok(())
}

async fn a_stale_read_shows_own_writes(context: Context) -> Outcome {
    let clients = [context.client().await?, context.client().await?, context.client().await?];
    let each = clients.iter().enumerate().map(|(at, client)| {
        let context = &context;
        async move {
            let key = context.key(&at.to_string())?;
            for number in 0..200 {
                let revision = client.put(&key, "").await?;
                let lookup = client.lookup(&key, ReadLevel::Stale).await?;
                let seen = lookup.entry.map(|entry| entry.modified);
                ensure_eq!(G2, seen, Some(revision), "what a client reads after its own write {number}");
            }
            Ok::<_, Broken>(())
        }
    });
    future::try_join_all(each).await.map(drop)
}

async fn a_stale_listing_shows_own_writes(context: Context) -> Outcome {
    let client = context.client().await?;
    let scope = Scope::Tree(context.root()?);
    for number in 0..100 {
        let key = context.key(&format!("{number:03}"))?;
        client.put(&key, "").await?;
        let options = ListOptions { read: ReadLevel::Stale, ..ListOptions::default() };
        let listing = client.list_with(&scope, options).await?;
        ensure_eq!(G2, listing.children.len(), number + 1, "how many of its own keys a client lists");
    }
    Ok(())
}

async fn reads_of_one_client_never_go_back(context: Context) -> Outcome {
    let (writer, reader) = (context.client().await?, context.client().await?);
    let key = context.key("a")?;
    let write = async {
        for number in 0..500 {
            writer.put(&key, number.to_string()).await?;
            tokio::task::yield_now().await;
        }
        Ok::<_, Broken>(())
    };
    let read = async {
        let mut last = registry_api::Lookup::default();
        loop {
            let next = reader.lookup(&key, ReadLevel::Linearizable).await?;
            ensure!(G1, next.revision >= last.revision, "read at {} after {}", next.revision, last.revision);
            let modified = |lookup: &registry_api::Lookup| lookup.entry.as_ref().map(|entry| entry.modified);
            ensure!(G1, modified(&next) >= modified(&last), "{next:?} was read after {last:?}");
            last = next;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        written = write => written,
        broken = read => broken,
    }
}
