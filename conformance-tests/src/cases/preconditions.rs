//! Preconditions of single keys: create-only, compare-and-set, ownership, fencing.

use bytes::Bytes;
use futures::future;
use registry_api::{
    Capability, DeleteOptions, Error, ErrorKind, LockRequest, LockWait, Precondition, PutOptions, RegistryClient,
    Revision, Scope,
};

use super::keys::{absent, present};
use crate::Guarantee::{G1, G5, G9, G15};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::refused;
use crate::{Broken, Case, Context, Outcome};

pub(super) fn cases() -> Vec<Case> {
    cases!["preconditions";
        create_refuses_a_key_that_exists => [G1, G15];
        of_many_creators_one_wins => [G1];
        compare_and_set_succeeds_at_the_current_revision => [G1];
        compare_and_set_at_an_old_revision_is_refused => [G1, G15];
        compare_and_set_of_an_absent_key_is_refused => [G1, G15];
        compare_and_delete_deletes_at_the_current_revision_only => [G1, G15];
        a_key_created_again_does_not_satisfy_an_old_revision => [G1] .needs(Capability::AbaSafePreconditions);
        concurrent_increments_by_compare_and_set_lose_nothing => [G1];
        owned_by_is_decided_by_the_session => [G5, G15];
        a_guarded_put_succeeds_while_the_lock_is_held => [G9];
        a_guarded_put_is_refused_without_the_lock => [G9, G15];
        a_guarded_delete_is_refused_without_the_lock => [G9, G15];
        a_refused_put_leaves_no_trace => [G15, G1];
    ]
}

fn when(precondition: Precondition) -> PutOptions {
    PutOptions::default().when(precondition)
}

async fn create_refuses_a_key_that_exists(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let key = context.key("a")?;
    let revision = client.create(&key, "first").await?;
    let result = other.create(&key, "second").await;
    let error = refused(G1, "the creation of a key that exists", result, &ErrorKind::PreconditionFailed)?;
    ensure_eq!(G15, error.key(), Some(&key), "the key that the error is about");
    let entry = present(&client, &key, G1).await?;
    ensure_eq!(G1, (entry.value, entry.modified), (Bytes::from("first"), revision), "the key after a refused creation");
    Ok(())
}

async fn of_many_creators_one_wins(context: Context) -> Outcome {
    let key = context.key("a")?;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(context.client().await?);
    }
    for round in 0..10 {
        let creations = clients.iter().enumerate().map(|(number, client)| client.create(&key, number.to_string()));
        let results: Vec<Result<Revision, Error>> = future::join_all(creations).await;
        let winners: Vec<usize> = results.iter().enumerate().filter(|(_, r)| r.is_ok()).map(|(at, _)| at).collect();
        ensure_eq!(G1, winners.len(), 1, "how many of eight creators won in round {round}: {results:?}");
        let client = clients.first().ok_or_else(|| Broken::harness("no clients"))?;
        let value = present(client, &key, G1).await?.value;
        let winner = winners.first().map(ToString::to_string).unwrap_or_default();
        ensure_eq!(G1, value, Bytes::from(winner), "the value that the winner of round {round} wrote");
        client.delete(&key).await?;
    }
    Ok(())
}

async fn compare_and_set_succeeds_at_the_current_revision(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let mut revision = client.put(&key, "0").await?;
    for number in 1..5 {
        let next = client.put_with(&key, number.to_string(), when(Precondition::At(revision))).await?;
        ensure!(G1, next > revision, "compare-and-set gave revision {next} after {revision}");
        revision = next;
    }
    ensure_eq!(G1, present(&client, &key, G1).await?.value, Bytes::from("4"), "the value after four compare-and-sets");
    Ok(())
}

async fn compare_and_set_at_an_old_revision_is_refused(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let old = client.put(&key, "old").await?;
    client.put(&key, "new").await?;
    let result = client.put_with(&key, "late", when(Precondition::At(old))).await;
    refused(G1, "a put at an old revision", result, &ErrorKind::PreconditionFailed)?;
    ensure_eq!(G15, present(&client, &key, G15).await?.value, Bytes::from("new"), "the value after a refused put");
    Ok(())
}

async fn compare_and_set_of_an_absent_key_is_refused(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let revision = client.put(&key, "value").await?;
    client.delete(&key).await?;
    let result = client.put_with(&key, "late", when(Precondition::At(revision))).await;
    refused(G1, "a put at a revision of a deleted key", result, &ErrorKind::PreconditionFailed)?;
    absent(&client, &key, G15).await
}

async fn compare_and_delete_deletes_at_the_current_revision_only(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let scope = Scope::Key(key.clone());
    let old = client.put(&key, "old").await?;
    let current = client.put(&key, "new").await?;
    let result = client.delete_with(&scope, DeleteOptions::when(Precondition::At(old))).await;
    refused(G1, "a delete at an old revision", result, &ErrorKind::PreconditionFailed)?;
    present(&client, &key, G15).await?;
    let deleted = client.delete_with(&scope, DeleteOptions::when(Precondition::At(current))).await?;
    ensure_eq!(G1, deleted.count, 1, "how many keys the delete at the current revision deleted");
    absent(&client, &key, G1).await
}

async fn a_key_created_again_does_not_satisfy_an_old_revision(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let old = client.put(&key, "same").await?;
    client.delete(&key).await?;
    client.put(&key, "same").await?;
    let result = client.put_with(&key, "late", when(Precondition::At(old))).await;
    refused(G1, "a put at the revision of a former life of the key", result, &ErrorKind::PreconditionFailed)?;
    let delete = client.delete_with(&Scope::Key(key.clone()), DeleteOptions::when(Precondition::At(old))).await;
    refused(G1, "a delete at the revision of a former life", delete, &ErrorKind::PreconditionFailed)?;
    ensure_eq!(G1, present(&client, &key, G1).await?.value, Bytes::from("same"), "the key after the refusals");
    Ok(())
}

async fn concurrent_increments_by_compare_and_set_lose_nothing(context: Context) -> Outcome {
    const CLIENTS: usize = 6;
    const INCREMENTS: usize = 15;
    let key = context.key("counter")?;
    context.client().await?.put(&key, "0").await?;
    let tasks = (0..CLIENTS).map(|_| async {
        let client = context.client().await?;
        for _ in 0..INCREMENTS {
            while !increment(&client, &key).await? {}
        }
        Ok::<_, Broken>(())
    });
    future::try_join_all(tasks).await?;
    let value = present(&context.client().await?, &key, G1).await?.value;
    let expected = (CLIENTS * INCREMENTS).to_string();
    ensure_eq!(G1, value, Bytes::from(expected), "the counter after concurrent increments");
    Ok(())
}

/// Whether the increment was made, and not refused because another came first.
async fn increment(client: &RegistryClient, key: &registry_api::Key) -> Outcome<bool> {
    let entry = present(client, key, G1).await?;
    let count: usize = String::from_utf8_lossy(&entry.value).parse()?;
    match client.put_with(key, (count + 1).to_string(), when(Precondition::At(entry.modified))).await {
        Ok(_) => Ok(true),
        Err(error) if *error.kind() == ErrorKind::PreconditionFailed => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn owned_by_is_decided_by_the_session(context: Context) -> Outcome {
    let client = context.client().await?;
    let (mine, other) = (context.long_session(&client).await?, context.long_session(&client).await?);
    let (key, persistent) = (context.key("mine")?, context.key("persistent")?);
    client.put_with(&key, "value", PutOptions::ephemeral(mine)).await?;
    client.put(&persistent, "value").await?;
    let put = PutOptions::ephemeral(mine).when(Precondition::OwnedBy(mine));
    client.put_with(&key, "update", put).await?;
    let foreign = PutOptions::ephemeral(other).when(Precondition::OwnedBy(other)).taking_over();
    let result = client.put_with(&key, "theft", foreign).await;
    refused(G5, "a put that requires another owner", result, &ErrorKind::PreconditionFailed)?;
    for (key, owner) in [(&key, other), (&persistent, mine)] {
        let delete = DeleteOptions::when(Precondition::OwnedBy(owner));
        let result = client.delete_with(&Scope::Key(key.clone()), delete).await;
        refused(G5, "a delete that requires another owner", result, &ErrorKind::PreconditionFailed)?;
    }
    let delete = DeleteOptions::when(Precondition::OwnedBy(mine));
    ensure_eq!(G5, client.delete_with(&Scope::Key(key), delete).await?.count, 1, "how many own keys were deleted");
    Ok(())
}

async fn a_guarded_put_succeeds_while_the_lock_is_held(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let session = context.long_session(&client).await?;
    let request = LockRequest { name: context.lock("l")?, session, wait: LockWait::Try };
    let grant = client.registry().acquire(request).await?;
    let key = context.key("a")?;
    client.put_with(&key, "by the holder", when(Precondition::LockHeld(grant.clone()))).await?;
    // The grant is the proof, whoever shows it.
    other.put_with(&key, "by a helper of the holder", when(Precondition::LockHeld(grant.clone()))).await?;
    client.delete_with(&Scope::Key(key.clone()), DeleteOptions::when(Precondition::LockHeld(grant))).await?;
    absent(&client, &key, G9).await
}

async fn a_guarded_put_is_refused_without_the_lock(context: Context) -> Outcome {
    let client = context.client().await?;
    let (session, next) = (context.long_session(&client).await?, context.long_session(&client).await?);
    let name = context.lock("l")?;
    let ask = |session| LockRequest { name: name.clone(), session, wait: LockWait::Forever };
    let key = context.key("a")?;
    client.put(&key, "before").await?;
    let old = client.registry().acquire(ask(session)).await?;
    client.registry().release(&old).await?;
    let guarded = || when(Precondition::LockHeld(old.clone()));
    let result = client.put_with(&key, "released", guarded()).await;
    refused(G9, "a put guarded by a released lock", result, &ErrorKind::LockLost)?;
    client.registry().acquire(ask(next)).await?;
    let result = client.put_with(&key, "late", guarded()).await;
    refused(G9, "a put guarded by a lock that another holds", result, &ErrorKind::LockLost)?;
    client.registry().close_session(next).await?;
    let again = client.registry().acquire(ask(session)).await?;
    let result = client.put_with(&key, "old token", guarded()).await;
    refused(G9, "a put guarded by an older grant of the same session", result, &ErrorKind::LockLost)?;
    client.put_with(&key, "now", when(Precondition::LockHeld(again))).await?;
    ensure_eq!(G9, present(&client, &key, G9).await?.value, Bytes::from("now"), "the value after guarded puts");
    Ok(())
}

async fn a_guarded_delete_is_refused_without_the_lock(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let request = LockRequest { name: context.lock("l")?, session, wait: LockWait::Try };
    let grant = client.registry().acquire(request).await?;
    client.put(&context.key("t/a")?, "").await?;
    client.registry().close_session(session).await?;
    for scope in [Scope::Key(context.key("t/a")?), Scope::Tree(context.key("t")?)] {
        let delete = DeleteOptions::when(Precondition::LockHeld(grant.clone()));
        let result = client.delete_with(&scope, delete).await;
        refused(G9, "a delete guarded by a lost lock", result, &ErrorKind::LockLost)?;
    }
    present(&client, &context.key("t/a")?, G9).await.map(drop)
}

async fn a_refused_put_leaves_no_trace(context: Context) -> Outcome {
    let client = context.client().await?;
    let (key, parent) = (context.key("a/b")?, context.key("a")?);
    let revision = client.put(&context.key("other")?, "").await?;
    let result = client.put_with(&key, "never", when(Precondition::At(revision))).await;
    refused(G15, "a put at a revision of another key", result, &ErrorKind::PreconditionFailed)?;
    absent(&client, &key, G15).await?;
    let listing = client.list(&Scope::Children(context.root()?)).await?;
    ensure!(G15, !listing.keys().any(|key| *key == parent), "a refused put left its parent behind");
    Ok(())
}
