//! Names of locks: each is a lock of its own, and none is a key.

use registry_api::{ErrorKind, LockWait};

use super::{acquire, two};
use crate::Guarantee::G8;
use crate::broken::ensure_eq;
use crate::refusal::refused;
use crate::{Context, Outcome};

pub(super) async fn a_lock_that_nobody_asked_for_is_free(context: Context) -> Outcome {
    let client = context.client().await?;
    let status = client.inspect_lock(&context.lock("never")?).await?;
    ensure_eq!(G8, (status.holder, status.waiters, status.held_for), (None, vec![], None), "a lock nobody asked for");
    Ok(())
}

pub(super) async fn lock_names_are_no_keys(context: Context) -> Outcome {
    let (client, name, one, _) = two(&context).await?;
    let grant = acquire(&client, &name, one, LockWait::Try).await?;
    let listing = client.list(&registry_api::Scope::Tree(context.root()?)).await?;
    ensure_eq!(G8, listing.children, [], "the keys after a lock was taken");
    client.put(&context.key("l")?, "a key of the same name").await?;
    client.delete_tree(&context.root()?).await?;
    ensure_eq!(G8, client.inspect_lock(&name).await?.holder, Some(grant), "the holder after the key was deleted");
    Ok(())
}

pub(super) async fn locks_with_a_common_beginning_are_distinct(context: Context) -> Outcome {
    let (client, _, one, other) = two(&context).await?;
    acquire(&client, &context.lock("l/1")?, one, LockWait::Try).await?;
    for name in ["l/10", "l", "l/1/a", "l/1-x"] {
        acquire(&client, &context.lock(name)?, other, LockWait::Try).await?;
    }
    Ok(())
}

pub(super) async fn many_locks_of_one_session_are_independent(context: Context) -> Outcome {
    let (client, _, one, other) = two(&context).await?;
    let mut grants = Vec::new();
    for number in 0..50 {
        grants.push(acquire(&client, &context.lock(&number.to_string())?, one, LockWait::Try).await?);
    }
    for grant in grants.iter().step_by(2) {
        client.registry().release(grant).await?;
    }
    for (number, grant) in grants.iter().enumerate() {
        let result = acquire(&client, &grant.name, other, LockWait::Try).await;
        if number % 2 == 0 {
            result?;
        } else {
            refused(G8, "a lock that is still held", result, &ErrorKind::LockTimeout)?;
        }
    }
    Ok(())
}
