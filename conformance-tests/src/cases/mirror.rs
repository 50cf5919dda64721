//! Mirrors: a local copy that is right after any storm.

use bytes::Bytes;
use registry_api::{Mirror, MirrorChange, MirrorChanges, PutOptions, RegistryClient, Revision, Scope};

use super::subscribe::{held, random_change};
use crate::Guarantee::{G12, G14};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::{Broken, Case, Context, Outcome};

pub(super) fn cases() -> Vec<Case> {
    cases!["mirror";
        a_synced_mirror_holds_the_whole_scope => [G12];
        changes_are_typed_and_carry_the_last_value => [G14];
        it_equals_a_fresh_listing_after_a_storm => [G12];
        it_equals_a_fresh_listing_after_an_outage => [G12];
        the_end_of_a_session_is_mirrored => [G14];
    ]
}

async fn open(context: &Context, client: &RegistryClient) -> Outcome<Mirror> {
    let mirror = client.mirror(Scope::Tree(context.root()?)).await?;
    context.soon("the first snapshot of a mirror", mirror.wait_synced()).await??;
    Ok(mirror)
}

async fn reached(context: &Context, mirror: &Mirror, revision: Revision) -> Outcome {
    let look = || std::future::ready(Ok(mirror.revision()));
    context.eventually(G12, &format!("revision {revision} in the mirror"), look, |at| *at >= revision).await.map(drop)
}

async fn equals_a_listing(context: &Context, client: &RegistryClient, mirror: &Mirror) -> Outcome {
    let end = client.put(&context.key("end")?, "").await?;
    reached(context, mirror, end).await?;
    let listing = held(client, &Scope::Tree(context.root()?)).await?;
    ensure_eq!(G12, *mirror.entries(), listing, "the mirror beside a fresh listing");
    Ok(())
}

async fn a_synced_mirror_holds_the_whole_scope(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let key = context.key("a/b")?;
    client.put(&key, "value").await?;
    client.put(&context.key("c")?, "").await?;
    let mirror = open(&context, &other).await?;
    ensure_eq!(G12, mirror.get(&key).map(|entry| entry.value), Some(Bytes::from("value")), "a mirrored entry");
    ensure_eq!(G12, mirror.get(&context.key("a")?), None, "the entry of a key that is only a parent");
    equals_a_listing(&context, &client, &mirror).await
}

/// The next change that is not the word that everything has to be looked at.
async fn next(context: &Context, changes: &mut MirrorChanges) -> Outcome<MirrorChange> {
    loop {
        match context.soon("the next change of a mirror", changes.next()).await? {
            Some(MirrorChange::Resynced) => {}
            Some(change) => return Ok(change),
            None => return Err(Broken::new(G12, "the changes of a mirror ended")),
        }
    }
}

async fn changes_are_typed_and_carry_the_last_value(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let mirror = open(&context, &client).await?;
    let mut changes = mirror.changes();
    let first = context.soon("the first word", changes.next()).await?;
    ensure_eq!(G12, first, Some(MirrorChange::Resynced), "how the changes of a mirror begin");
    client.put(&key, "1").await?;
    match next(&context, &mut changes).await? {
        MirrorChange::Added(entry) => ensure_eq!(G14, entry.value, Bytes::from("1"), "the value of what was added"),
        other => return Err(Broken::new(G14, format!("a new key is mirrored as {other:?}"))),
    }
    client.put(&key, "2").await?;
    match next(&context, &mut changes).await? {
        MirrorChange::Updated { entry, previous } => {
            let values = (entry.value, previous.value);
            ensure_eq!(G14, values, (Bytes::from("2"), Bytes::from("1")), "the values after and before the update");
        }
        other => return Err(Broken::new(G14, format!("an update is mirrored as {other:?}"))),
    }
    client.delete(&key).await?;
    match next(&context, &mut changes).await? {
        MirrorChange::Removed(entry) => ensure_eq!(G14, entry.value, Bytes::from("2"), "the last value"),
        other => return Err(Broken::new(G14, format!("a delete is mirrored as {other:?}"))),
    }
    Ok(())
}

async fn it_equals_a_fresh_listing_after_a_storm(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let mirror = open(&context, &other).await?;
    let mut random = context.random(1);
    for _ in 0..10 {
        for _ in 0..60 {
            client.commit(random_change(&context, &mut random)?).await?;
        }
        equals_a_listing(&context, &client, &mirror).await?;
    }
    Ok(())
}

async fn it_equals_a_fresh_listing_after_an_outage(context: Context) -> Outcome {
    let ((client, cable), writer) = (context.cabled_client().await?, context.client().await?);
    let mirror = open(&context, &client).await?;
    let mut random = context.random(2);
    for _ in 0..3 {
        cable.cut();
        for _ in 0..60 {
            writer.commit(random_change(&context, &mut random)?).await?;
        }
        cable.mend();
        equals_a_listing(&context, &writer, &mirror).await?;
    }
    Ok(())
}

async fn the_end_of_a_session_is_mirrored(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let key = context.key("e")?;
    client.put_with(&key, "last", PutOptions::ephemeral(session)).await?;
    let mirror = open(&context, &client).await?;
    let mut changes = mirror.changes();
    client.registry().close_session(session).await?;
    loop {
        match next(&context, &mut changes).await? {
            // What the mirror shows already may still be told.
            MirrorChange::Added(_) => {}
            MirrorChange::Removed(entry) => {
                ensure_eq!(G14, entry.value, Bytes::from("last"), "the last value");
                break;
            }
            other => return Err(Broken::new(G14, format!("the end of a session is mirrored as {other:?}"))),
        }
    }
    ensure!(G14, mirror.get(&key).is_none(), "the mirror still holds a key whose session ended");
    Ok(())
}
