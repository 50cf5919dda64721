//! Namespaces: a part of the registry that looks like the whole.

use bytes::Bytes;
use registry_api::{
    ErrorKind, Event, Key, LockName, LockRequest, LockWait, Precondition, PutOptions, RegistryClient, Scope,
    Transaction,
};

use super::keys::{absent, present};
use crate::Guarantee::{G1, G8, G9, G13, G15};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::refused;
use crate::{Case, Context, Outcome, Watcher};

pub(super) fn cases() -> Vec<Case> {
    cases!["namespace";
        the_same_key_of_two_namespaces_is_two_keys => [G1];
        everything_is_what_is_in_the_namespace => [G1];
        events_speak_the_keys_of_the_namespace => [G13];
        events_of_a_namespace_with_a_similar_name_stay_outside => [G13];
        errors_name_the_keys_of_the_namespace => [G15];
        locks_of_two_namespaces_are_two_locks => [G8];
        guarded_writes_and_transactions_work_inside => [G9];
        sessions_end_their_keys_in_every_namespace => [G1];
    ]
}

fn key(text: &str) -> Outcome<Key> {
    Ok(Key::parse(text)?)
}

async fn two(context: &Context) -> Outcome<(RegistryClient, RegistryClient, RegistryClient)> {
    let client = context.client().await?;
    let (one, other) = (client.namespaced(&context.key("1")?), client.namespaced(&context.key("10")?));
    Ok((client, one, other))
}

async fn the_same_key_of_two_namespaces_is_two_keys(context: Context) -> Outcome {
    let (client, one, other) = two(&context).await?;
    let name = key("/a/b")?;
    one.put(&name, "one").await?;
    absent(&other, &name, G1).await?;
    other.put(&name, "other").await?;
    let entry = present(&one, &name, G1).await?;
    ensure_eq!(G1, (entry.value, entry.key), (Bytes::from("one"), name.clone()), "the entry in its namespace");
    let whole = present(&client, &context.key("1/a/b")?, G1).await?;
    ensure_eq!(G1, whole.value, Bytes::from("one"), "the same key seen from outside");
    one.delete_tree(&key("/a")?).await?;
    present(&other, &name, G1).await.map(drop)
}

async fn everything_is_what_is_in_the_namespace(context: Context) -> Outcome {
    let (client, one, other) = two(&context).await?;
    one.put(&key("/a")?, "").await?;
    one.put(&key("/b/c")?, "").await?;
    other.put(&key("/d")?, "").await?;
    client.put(&context.key("1")?, "the root itself").await?;
    let listing = one.list(&Scope::All).await?;
    ensure_eq!(G1, listing.keys().map(Key::as_str).collect::<Vec<_>>(), ["/a", "/b/c"], "everything in the namespace");
    let page = registry_api::ListOptions { limit: std::num::NonZeroUsize::new(1), ..Default::default() };
    let page = one.list_with(&Scope::All, page).await?;
    let rest = registry_api::ListOptions { after: page.next, ..Default::default() };
    let rest = one.list_with(&Scope::All, rest).await?;
    ensure_eq!(G1, rest.keys().map(Key::as_str).collect::<Vec<_>>(), ["/b/c"], "the second page in the namespace");
    Ok(())
}

async fn events_speak_the_keys_of_the_namespace(context: Context) -> Outcome {
    let (client, one, _) = two(&context).await?;
    let name = key("/a")?;
    one.put(&name, "before").await?;
    let mut watcher = Watcher::open(&context, &one, &Scope::All).await?;
    ensure_eq!(G13, watcher.entries().keys().collect::<Vec<_>>(), [&name], "the keys of the snapshot");
    client.put(&context.key("1/a")?, "from outside").await?;
    let (entry, previous) = watcher.until_put(&name).await?;
    ensure_eq!(G13, entry.value, Bytes::from("from outside"), "the value of the event");
    ensure_eq!(G13, previous.map(|previous| previous.key), Some(name.clone()), "the key of the previous entry");
    one.delete(&name).await?;
    watcher.until_deleted(&name).await.map(drop)
}

async fn events_of_a_namespace_with_a_similar_name_stay_outside(context: Context) -> Outcome {
    let (client, one, other) = two(&context).await?;
    let mut watcher = Watcher::open(&context, &one, &Scope::All).await?;
    other.put(&key("/a")?, "").await?;
    client.put(&context.key("1-x/a")?, "").await?;
    client.put(&context.key("a")?, "").await?;
    let events = watcher.until_sentinel(&one, &key("/sentinel")?).await?;
    ensure_eq!(G13, events, Vec::<Event>::new(), "the events of other namespaces");
    Ok(())
}

async fn errors_name_the_keys_of_the_namespace(context: Context) -> Outcome {
    let (_, one, _) = two(&context).await?;
    let name = key("/a")?;
    one.create(&name, "").await?;
    let error = refused(G15, "a second creation", one.create(&name, "").await, &ErrorKind::PreconditionFailed)?;
    ensure_eq!(G15, error.key(), Some(&name), "the key that the error is about");
    let inside = !error.to_string().contains("conformance");
    ensure!(G15, inside, "the text of an error shows what is around the namespace: {error}");
    Ok(())
}

async fn locks_of_two_namespaces_are_two_locks(context: Context) -> Outcome {
    let (_, one, other) = two(&context).await?;
    let name = LockName::parse("/l")?;
    for client in [&one, &other] {
        let session = context.long_session(client).await?;
        let request = LockRequest { name: name.clone(), session, wait: LockWait::Try };
        let grant = client.registry().acquire(request).await?;
        ensure_eq!(G8, grant.name, name, "the name of the grant");
        let status = client.inspect_lock(&name).await?;
        ensure_eq!(G8, status.holder, Some(grant), "the holder in each namespace");
    }
    Ok(())
}

async fn guarded_writes_and_transactions_work_inside(context: Context) -> Outcome {
    let (_, one, _) = two(&context).await?;
    let session = context.long_session(&one).await?;
    let request = LockRequest { name: LockName::parse("/l")?, session, wait: LockWait::Try };
    let grant = one.registry().acquire(request).await?;
    let guarded = PutOptions::default().when(Precondition::LockHeld(grant.clone()));
    one.put_with(&key("/a")?, "", guarded.clone()).await?;
    let both = Transaction::builder().lock_held(grant.clone()).put(key("/b")?, "").absent(key("/b")?);
    one.commit(both.build()?).await?;
    present(&one, &key("/b")?, G9).await?;
    one.registry().release(&grant).await?;
    let result = one.put_with(&key("/a")?, "", guarded).await;
    refused(G9, "a put guarded by a released lock", result, &ErrorKind::LockLost).map(drop)
}

async fn sessions_end_their_keys_in_every_namespace(context: Context) -> Outcome {
    let (_, one, other) = two(&context).await?;
    let session = context.long_session(&one).await?;
    one.put_with(&key("/a")?, "", PutOptions::ephemeral(session)).await?;
    other.put_with(&key("/a")?, "", PutOptions::ephemeral(session)).await?;
    other.registry().close_session(session).await?;
    absent(&one, &key("/a")?, G1).await?;
    absent(&other, &key("/a")?, G1).await
}
