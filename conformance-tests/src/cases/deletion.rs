//! Deleting one key, direct children, and whole trees.

use bytes::Bytes;
use registry_api::{Capability, DeleteOptions, ErrorKind, Precondition, PutOptions, RegistryClient, Scope};

use super::keys::{absent, present};
use crate::Guarantee::{G1, G3, G4, G15};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::refused;
use crate::{Case, Context, Outcome, Watcher};

pub(super) fn cases() -> Vec<Case> {
    cases!["deletion";
        one_key_is_deleted_and_its_children_stay => [G1];
        a_tree_is_deleted_and_its_siblings_stay => [G1];
        direct_children_are_deleted_and_deeper_keys_stay => [G1];
        the_count_says_what_was_deleted => [G1];
        a_tree_ends_at_one_revision => [G3] .needs(Capability::AtomicSubtreeDelete);
        a_precondition_of_one_key_does_not_go_with_many => [G15];
        a_precondition_fails_for_an_absent_key_too => [G15];
        an_ephemeral_key_can_be_deleted_by_anybody => [G1, G4];
    ]
}

async fn put_all(client: &RegistryClient, context: &Context, names: &[&str]) -> Outcome {
    for name in names {
        client.put(&context.key(name)?, Bytes::new()).await?;
    }
    Ok(())
}

async fn left(client: &RegistryClient, context: &Context) -> Outcome<Vec<String>> {
    let root = format!("{}/", context.root()?);
    let listing = client.list(&Scope::Tree(context.root()?)).await?;
    Ok(listing.keys().map(|key| key.as_str().replacen(&root, "", 1)).collect())
}

async fn one_key_is_deleted_and_its_children_stay(context: Context) -> Outcome {
    let client = context.client().await?;
    put_all(&client, &context, &["a", "a/b", "a/b/c"]).await?;
    client.delete(&context.key("a")?).await?;
    ensure_eq!(G1, left(&client, &context).await?, ["a/b", "a/b/c"], "what is left after the delete of a");
    Ok(())
}

async fn a_tree_is_deleted_and_its_siblings_stay(context: Context) -> Outcome {
    let client = context.client().await?;
    put_all(&client, &context, &["1", "1/a", "1/a/b", "10", "10/a", "1-x", "1.x/y", "2"]).await?;
    let deleted = client.delete_tree(&context.key("1")?).await?;
    ensure_eq!(G1, deleted.count, 3, "how many keys the tree had");
    ensure_eq!(G1, left(&client, &context).await?, ["1-x", "1.x/y", "10", "10/a", "2"], "what is left beside the tree");
    Ok(())
}

async fn direct_children_are_deleted_and_deeper_keys_stay(context: Context) -> Outcome {
    let client = context.client().await?;
    put_all(&client, &context, &["a", "a/b", "a/c", "a/c/d", "ab"]).await?;
    let deleted = client.delete_with(&Scope::Children(context.key("a")?), DeleteOptions::default()).await?;
    ensure_eq!(G1, deleted.count, 2, "how many direct children were deleted");
    ensure_eq!(
        G1,
        left(&client, &context).await?,
        ["a", "a/c/d", "ab"],
        "what is left after the delete of the children"
    );
    Ok(())
}

async fn the_count_says_what_was_deleted(context: Context) -> Outcome {
    let client = context.client().await?;
    let before = client.put(&context.key("a")?, "").await?;
    let first = client.delete(&context.key("a")?).await?;
    ensure_eq!(G1, first.count, 1, "the count of the first delete");
    ensure!(G1, first.revision > before, "the delete at {} is not after the put at {before}", first.revision);
    let second = client.delete(&context.key("a")?).await?;
    ensure_eq!(G1, second.count, 0, "the count of the second delete");
    ensure!(G1, second.revision >= first.revision, "a delete of nothing was seen at {}", second.revision);
    ensure_eq!(G1, client.delete_tree(&context.key("none")?).await?.count, 0, "the count of a tree of nothing");
    Ok(())
}

async fn a_tree_ends_at_one_revision(context: Context) -> Outcome {
    let client = context.client().await?;
    let names = ["t", "t/a", "t/a/b", "t/c"];
    put_all(&client, &context, &names).await?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Tree(context.key("t")?)).await?;
    let deleted = client.delete_tree(&context.key("t")?).await?;
    for _ in names {
        let event = watcher.next().await?;
        ensure_eq!(G3, event.revision(), deleted.revision, "the revision of {event:?}");
    }
    ensure!(G3, watcher.entries().is_empty(), "the events left {:?}", watcher.entries());
    Ok(())
}

async fn a_precondition_of_one_key_does_not_go_with_many(context: Context) -> Outcome {
    let client = context.client().await?;
    let revision = client.put(&context.key("t/a")?, "").await?;
    let session = context.long_session(&client).await?;
    for scope in [Scope::Tree(context.key("t")?), Scope::Children(context.key("t")?)] {
        for precondition in [Precondition::Absent, Precondition::At(revision), Precondition::OwnedBy(session)] {
            let result = client.registry().delete(&scope, DeleteOptions::when(precondition.clone())).await;
            let what = format!("the delete of {scope} under {precondition:?}");
            refused(G15, &what, result, &ErrorKind::InvalidArgument)?;
        }
    }
    present(&client, &context.key("t/a")?, G15).await?;
    Ok(client.registry().close_session(session).await?)
}

async fn a_precondition_fails_for_an_absent_key_too(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("absent")?;
    let revision = client.put(&context.key("other")?, "").await?;
    let options = DeleteOptions::when(Precondition::At(revision));
    let result = client.delete_with(&Scope::Key(key), options).await;
    refused(G15, "the delete of an absent key at a revision", result, &ErrorKind::PreconditionFailed)?;
    Ok(())
}

async fn an_ephemeral_key_can_be_deleted_by_anybody(context: Context) -> Outcome {
    let (owner, other) = (context.client().await?, context.client().await?);
    let session = context.long_session(&owner).await?;
    let key = context.key("e")?;
    owner.put_with(&key, "", PutOptions::ephemeral(session)).await?;
    ensure_eq!(G1, other.delete(&key).await?.count, 1, "how many keys another client deleted");
    absent(&owner, &key, G1).await?;
    owner.put_with(&key, "again", PutOptions::ephemeral(session)).await?;
    present(&other, &key, G4).await?;
    Ok(owner.registry().close_session(session).await?)
}
