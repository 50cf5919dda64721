//! Ephemeral keys: whose they are, and what they may be.

use bytes::Bytes;
use registry_api::{
    Capability, ErrorKind, Event, Key, PutOptions, RegistryClient, Scope, SessionId, Support, Transaction,
};

use super::keys::{absent, present};
use crate::Guarantee::{G4, G5, G6, G14, G15, G17};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::refused;
use crate::{Case, Context, Outcome, Watcher};

/// How many keys the session with many keys has.
const MANY: usize = 1000;

pub(super) fn cases() -> Vec<Case> {
    cases!["ephemeral";
        the_owner_is_told => [G5];
        a_second_session_is_refused_and_the_owner_named => [G5, G15];
        an_equal_value_is_no_ownership => [G5];
        another_session_of_the_same_client_is_another_owner => [G5];
        taking_over_moves_the_ownership => [G5];
        a_key_taken_over_survives_the_old_session => [G5];
        a_key_taken_over_ends_with_the_new_session => [G5, G4];
        the_old_owner_is_refused_after_a_take_over => [G5, G15];
        taking_over_an_absent_key_creates_it => [G5];
        taking_over_is_one_put_for_subscribers => [G17, G5];
        a_put_by_the_owner_is_a_put_for_subscribers => [G17, G14];
        a_persistent_key_does_not_become_ephemeral => [G15];
        an_ephemeral_key_does_not_become_persistent => [G15];
        an_ephemeral_key_has_no_children => [G15];
        a_key_with_descendants_does_not_become_ephemeral => [G15];
        an_ended_session_puts_nothing => [G6, G15];
        an_unknown_session_puts_nothing => [G6, G15];
        closing_a_session_leaves_the_keys_of_others => [G4, G5];
        all_keys_of_a_session_end_at_one_revision => [G4] .needs(Capability::SessionEndsAtOneRevision);
        a_key_is_free_after_the_end_of_its_session => [G5, G4];
    ]
}

async fn put(client: &RegistryClient, key: &Key, value: &'static str, session: SessionId) -> Outcome {
    client.put_with(key, value, PutOptions::ephemeral(session)).await?;
    Ok(())
}

async fn the_owner_is_told(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let session = context.long_session(&client).await?;
    let key = context.key("e")?;
    put(&client, &key, "value", session).await?;
    ensure_eq!(G5, present(&other, &key, G5).await?.owner, Some(session), "the owner that another client reads");
    Ok(())
}

async fn a_second_session_is_refused_and_the_owner_named(context: Context) -> Outcome {
    let (one, other) = (context.client().await?, context.client().await?);
    let (owner, second) = (context.long_session(&one).await?, context.long_session(&other).await?);
    let key = context.key("e")?;
    put(&one, &key, "first", owner).await?;
    let result = other.put_with(&key, "second", PutOptions::ephemeral(second)).await;
    let error = refused(G5, "a put by a second session", result, &ErrorKind::OwnedByAnother { owner })?;
    ensure_eq!(G15, error.key(), Some(&key), "the key that the error is about");
    ensure_eq!(G5, present(&one, &key, G5).await?.value, Bytes::from("first"), "the value after the refusal");
    Ok(())
}

async fn an_equal_value_is_no_ownership(context: Context) -> Outcome {
    let (one, other) = (context.client().await?, context.client().await?);
    let (owner, second) = (context.long_session(&one).await?, context.long_session(&other).await?);
    let key = context.key("10.0.0.1:1234")?;
    put(&one, &key, "same", owner).await?;
    let result = other.put_with(&key, "same", PutOptions::ephemeral(second)).await;
    refused(G5, "an equal put by a second session", result, &ErrorKind::OwnedByAnother { owner })?;
    one.registry().close_session(owner).await?;
    absent(&other, &key, G5).await
}

async fn another_session_of_the_same_client_is_another_owner(context: Context) -> Outcome {
    let client = context.client().await?;
    let (owner, second) = (context.long_session(&client).await?, context.long_session(&client).await?);
    let key = context.key("e")?;
    put(&client, &key, "first", owner).await?;
    let result = client.put_with(&key, "second", PutOptions::ephemeral(second)).await;
    refused(G5, "a put by another session", result, &ErrorKind::OwnedByAnother { owner }).map(drop)
}

async fn taking_over_moves_the_ownership(context: Context) -> Outcome {
    let (one, other) = (context.client().await?, context.client().await?);
    let (old, new) = (context.long_session(&one).await?, context.long_session(&other).await?);
    let key = context.key("e")?;
    let created = one.put_with(&key, "old", PutOptions::ephemeral(old)).await?;
    let modified = other.put_with(&key, "new", PutOptions::ephemeral(new).taking_over()).await?;
    let entry = present(&one, &key, G5).await?;
    ensure_eq!(G5, (entry.owner, entry.value), (Some(new), Bytes::from("new")), "owner and value after the take-over");
    ensure_eq!(G5, entry.modified, modified, "modified after the take-over");
    // A server that binds a node to its owner for ever makes a new one of it, in the same change.
    let kept = entry.created == created || (entry.created == modified && replaces(&one));
    ensure!(
        G5,
        kept,
        "created after the take-over is {}: neither {created} nor a new node's {modified}",
        entry.created
    );
    Ok(())
}

/// Whether the backend takes a key over by replacing it, as its limit of ABA safety says.
fn replaces(client: &RegistryClient) -> bool {
    client.support(Capability::AbaSafePreconditions) != Support::Full
}

async fn a_key_taken_over_survives_the_old_session(context: Context) -> Outcome {
    let (one, other) = (context.client().await?, context.client().await?);
    let (old, new) = (context.long_session(&one).await?, context.long_session(&other).await?);
    let (key, kept) = (context.key("e")?, context.key("old")?);
    put(&one, &key, "same", old).await?;
    put(&one, &kept, "", old).await?;
    other.put_with(&key, "same", PutOptions::ephemeral(new).taking_over()).await?;
    let mut watcher = Watcher::open(&context, &other, &Scope::Tree(context.root()?)).await?;
    one.registry().close_session(old).await?;
    watcher.until_deleted(&kept).await?;
    let entry = present(&other, &key, G5).await?;
    ensure_eq!(G5, entry.owner, Some(new), "the owner after the end of the old session");
    let events = watcher.until_sentinel(&other, &context.key("sentinel")?).await?;
    ensure_eq!(G5, events, Vec::<Event>::new(), "the events after the end of the old session");
    Ok(())
}

async fn a_key_taken_over_ends_with_the_new_session(context: Context) -> Outcome {
    let (one, other) = (context.client().await?, context.client().await?);
    let (old, new) = (context.long_session(&one).await?, context.long_session(&other).await?);
    let key = context.key("e")?;
    put(&one, &key, "old", old).await?;
    other.put_with(&key, "new", PutOptions::ephemeral(new).taking_over()).await?;
    other.registry().close_session(new).await?;
    absent(&one, &key, G5).await?;
    put(&one, &key, "again", old).await
}

async fn the_old_owner_is_refused_after_a_take_over(context: Context) -> Outcome {
    let (one, other) = (context.client().await?, context.client().await?);
    let (old, new) = (context.long_session(&one).await?, context.long_session(&other).await?);
    let key = context.key("e")?;
    put(&one, &key, "old", old).await?;
    other.put_with(&key, "new", PutOptions::ephemeral(new).taking_over()).await?;
    let result = one.put_with(&key, "old again", PutOptions::ephemeral(old)).await;
    refused(G5, "a put by the former owner", result, &ErrorKind::OwnedByAnother { owner: new })?;
    ensure_eq!(G5, present(&one, &key, G5).await?.value, Bytes::from("new"), "the value after the refusal");
    Ok(())
}

async fn taking_over_an_absent_key_creates_it(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let key = context.key("e")?;
    client.put_with(&key, "value", PutOptions::ephemeral(session).taking_over()).await?;
    ensure_eq!(G5, present(&client, &key, G5).await?.owner, Some(session), "the owner of the new key");
    Ok(())
}

async fn taking_over_is_one_put_for_subscribers(context: Context) -> Outcome {
    let client = context.client().await?;
    let (old, new) = (context.long_session(&client).await?, context.long_session(&client).await?);
    let key = context.key("e")?;
    put(&client, &key, "old", old).await?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Tree(context.root()?)).await?;
    client.put_with(&key, "new", PutOptions::ephemeral(new).taking_over()).await?;
    client.registry().close_session(old).await?;
    let events = watcher.until_sentinel(&client, &context.key("sentinel")?).await?;
    match events.as_slice() {
        [Event::Put { entry, previous: Some(previous) }] => {
            ensure_eq!(G17, (entry.owner, previous.owner), (Some(new), Some(old)), "the owners that the put tells");
            Ok(())
        }
        other => Err(crate::Broken::new(G17, format!("a take-over is told as {other:?}, not as one put"))),
    }
}

async fn a_put_by_the_owner_is_a_put_for_subscribers(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let key = context.key("e")?;
    put(&client, &key, "0", session).await?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Tree(context.root()?)).await?;
    for value in ["1", "1", "2"] {
        put(&client, &key, value, session).await?;
    }
    let events = watcher.until_sentinel(&client, &context.key("sentinel")?).await?;
    let puts = events.iter().filter(|event| matches!(event, Event::Put { previous: Some(_), .. })).count();
    let deletes = events.iter().filter(|event| matches!(event, Event::Delete { .. })).count();
    ensure_eq!(G17, deletes, 0, "how many deletes are told of a key that was only put again: {events:?}");
    let every = client.support(Capability::EveryVersion) == registry_api::Support::Full;
    ensure!(G14, puts == events.len() && (puts == 3 || !every), "three puts by the owner are told as {events:?}");
    Ok(())
}

async fn a_persistent_key_does_not_become_ephemeral(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let key = context.key("p")?;
    client.put(&key, "persistent").await?;
    for options in [PutOptions::ephemeral(session), PutOptions::ephemeral(session).taking_over()] {
        let result = client.put_with(&key, "ephemeral", options).await;
        refused(G15, "an ephemeral put of a persistent key", result, &ErrorKind::LifetimeMismatch)?;
    }
    client.registry().close_session(session).await?;
    ensure_eq!(G15, present(&client, &key, G15).await?.value, Bytes::from("persistent"), "the value after the refusal");
    Ok(())
}

async fn an_ephemeral_key_does_not_become_persistent(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let key = context.key("e")?;
    put(&client, &key, "ephemeral", session).await?;
    let result = client.put(&key, "persistent").await;
    refused(G15, "a persistent put of an ephemeral key", result, &ErrorKind::LifetimeMismatch)?;
    client.registry().close_session(session).await?;
    absent(&client, &key, G4).await
}

async fn an_ephemeral_key_has_no_children(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let key = context.key("e")?;
    put(&client, &key, "", session).await?;
    for below in ["child", "deep/down"] {
        let child = key.join(below)?;
        let result = client.put(&child, "").await;
        refused(G15, "a persistent child of an ephemeral key", result, &ErrorKind::EphemeralParent)?;
        let result = client.put_with(&child, "", PutOptions::ephemeral(session)).await;
        refused(G15, "an ephemeral child of an ephemeral key", result, &ErrorKind::EphemeralParent)?;
    }
    client.put(&context.key("e2/child")?, "a sibling's child").await?;
    Ok(())
}

async fn a_key_with_descendants_does_not_become_ephemeral(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    client.put(&context.key("a/b/c")?, "").await?;
    for parent in ["a/b", "a"] {
        let result = client.put_with(&context.key(parent)?, "", PutOptions::ephemeral(session)).await;
        refused(G15, "an ephemeral put of a key with descendants", result, &ErrorKind::EphemeralParent)?;
    }
    client.delete(&context.key("a/b/c")?).await?;
    put(&client, &context.key("a")?, "", session).await
}

async fn an_ended_session_puts_nothing(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    client.registry().close_session(session).await?;
    let key = context.key("e")?;
    for options in [PutOptions::ephemeral(session), PutOptions::ephemeral(session).taking_over()] {
        let result = client.put_with(&key, "late", options).await;
        refused(G6, "a put of an ended session", result, &ErrorKind::SessionEnded)?;
    }
    let result = client.commit(Transaction::builder().put_ephemeral(key.clone(), "late", session).build()?).await;
    refused(G6, "a transaction of an ended session", result, &ErrorKind::SessionEnded)?;
    absent(&client, &key, G6).await
}

async fn an_unknown_session_puts_nothing(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("e")?;
    for number in [0, u64::MAX - 1, 0x1234_5678_9ABC_DEF0] {
        let result = client.put_with(&key, "never", PutOptions::ephemeral(SessionId::new(number))).await;
        refused(G6, "a put of a session that never was", result, &ErrorKind::SessionEnded)?;
    }
    absent(&client, &key, G6).await
}

async fn closing_a_session_leaves_the_keys_of_others(context: Context) -> Outcome {
    let client = context.client().await?;
    let (closed, kept) = (context.long_session(&client).await?, context.long_session(&client).await?);
    put(&client, &context.key("1")?, "", closed).await?;
    put(&client, &context.key("10")?, "", kept).await?;
    client.put(&context.key("persistent")?, "").await?;
    client.registry().close_session(closed).await?;
    let listing = client.list(&Scope::Children(context.root()?)).await?;
    let left: Vec<_> = listing.keys().map(Key::name).collect();
    ensure_eq!(G4, left, ["10", "persistent"], "what is left after the end of one session");
    Ok(())
}

async fn all_keys_of_a_session_end_at_one_revision(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let numbers: Vec<usize> = (0..MANY).collect();
    for chunk in numbers.chunks(registry_api::TRANSACTION_LEN_MAX) {
        let mut transaction = Transaction::builder();
        for number in chunk {
            transaction = transaction.put_ephemeral(context.key(&format!("many/{number}"))?, "", session);
        }
        client.commit(transaction.build()?).await?;
    }
    let mut watcher = Watcher::open(&context, &client, &Scope::Children(context.key("many")?)).await?;
    ensure_eq!(G4, watcher.entries().len(), MANY, "how many keys the session has");
    client.registry().close_session(session).await?;
    let first = watcher.next().await?.revision();
    for _ in 1..MANY {
        ensure_eq!(G4, watcher.next().await?.revision(), first, "the revision at which the keys of a session end");
    }
    ensure!(G4, watcher.entries().is_empty(), "{} keys outlive their session", watcher.entries().len());
    Ok(())
}

async fn a_key_is_free_after_the_end_of_its_session(context: Context) -> Outcome {
    let client = context.client().await?;
    let (old, new) = (context.long_session(&client).await?, context.long_session(&client).await?);
    let key = context.key("e")?;
    put(&client, &key, "old", old).await?;
    let before = present(&client, &key, G5).await?.created;
    client.registry().close_session(old).await?;
    put(&client, &key, "new", new).await?;
    let entry = present(&client, &key, G5).await?;
    ensure!(G5, entry.created > before && entry.owner == Some(new), "the key of the next session is {entry:?}");
    Ok(())
}
