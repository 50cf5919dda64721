//! Connections: what a client is told when its servers are there, away, or closed.

use bytes::Bytes;
use registry_api::{
    Capability, ConnectionState, Effect, Error, ErrorKind, LockRequest, LockWait, ReadLevel, RegistryClient, Scope,
    SessionId, SessionOptions, Support, Transaction,
};

use super::keys::present;
use crate::Guarantee::{G1, G4, G15};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::refused;
use crate::{Broken, Case, Context, Outcome};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cases!["connection";
        a_client_that_was_given_out_is_connected => [G1];
        closing_is_told_and_final => [G15];
        a_closed_client_refuses_everything => [G15];
        closing_twice_succeeds => [G15];
        closing_ends_subscriptions => [G18];
        closing_one_client_leaves_the_others => [G18];
        closing_a_client_does_not_end_its_sessions => [G4];
        a_request_over_a_cut_cable_was_not_applied => [G15];
        silent_servers_are_no_absence => [G15];
        a_lost_answer_is_told_as_unknown => [G15];
        capabilities_are_the_same_for_every_client => [G15];
    ];
    let missing: [(&'static str, &'static str); 2] = [
        ("a_name_is_resolved_again_on_every_dial", "needs a process with names of its own: the tests `names` show it"),
        ("peers_without_a_valid_certificate_are_refused", "needs TLS"),
    ];
    for (requirement, what) in missing {
        cases.push(Case::missing("connection", requirement, &[G15], what));
    }
    cases
}

async fn a_client_that_was_given_out_is_connected(context: Context) -> Outcome {
    let client = context.client().await?;
    client.put(&context.key("a")?, "").await?;
    let state = context.soon("the connection", client.connection().reached(ConnectionState::Connected)).await?;
    ensure_eq!(G1, state, ConnectionState::Connected, "the connection of a client that was answered");
    Ok(())
}

async fn closing_is_told_and_final(context: Context) -> Outcome {
    let client = context.client().await?;
    let mut connection = client.connection();
    client.close().await?;
    let state = context.soon("the closed connection", connection.reached(ConnectionState::Closed)).await?;
    ensure_eq!(G15, state, ConnectionState::Closed, "the connection after the close");
    ensure_eq!(G15, client.connection().state(), ConnectionState::Closed, "the connection that a late watcher sees");
    Ok(())
}

async fn a_closed_client_refuses_everything(context: Context) -> Outcome {
    let client = context.client().await?;
    let (key, name) = (context.key("a")?, context.lock("l")?);
    let session = context.long_session(&client).await?;
    client.close().await?;
    let registry = client.registry();
    let closed = |what: &str, result: Result<(), Error>| refused(G15, what, result, &ErrorKind::Closed).map(drop);
    closed("a get", registry.get(&key, ReadLevel::Linearizable).await.map(drop))?;
    closed("a stale get", registry.get(&key, ReadLevel::Stale).await.map(drop))?;
    closed("a listing", client.list(&Scope::Key(key.clone())).await.map(drop))?;
    closed("a put", client.put(&key, "").await.map(drop))?;
    closed("a delete", client.delete(&key).await.map(drop))?;
    closed("a transaction", client.commit(Transaction::builder().delete(key.clone()).build()?).await.map(drop))?;
    closed("a subscription", client.subscribe(&Scope::Key(key)).await.map(drop))?;
    closed("a session", registry.open_session(SessionOptions::default()).await.map(drop))?;
    closed("a heartbeat", registry.heartbeat(session).await.map(drop))?;
    closed("the end of a session", registry.close_session(session).await)?;
    let request = LockRequest { name: name.clone(), session, wait: LockWait::Try };
    closed("a lock", registry.acquire(request).await.map(drop))?;
    closed("the status of a lock", client.inspect_lock(&name).await.map(drop))
}

async fn closing_twice_succeeds(context: Context) -> Outcome {
    let client = context.client().await?;
    client.close().await?;
    client.close().await?;
    Ok(())
}

async fn closing_ends_subscriptions(context: Context) -> Outcome {
    let client = context.client().await?;
    let mut subscription = client.subscribe(&Scope::Tree(context.root()?)).await?;
    client.close().await?;
    let end = async { while let Some(Ok(_)) = subscription.next().await {} };
    context.soon("the end of the subscription", end).await
}

async fn closing_one_client_leaves_the_others(context: Context) -> Outcome {
    let (closed, other) = (context.client().await?, context.client().await?);
    let mut watcher = crate::Watcher::open(&context, &other, &Scope::Tree(context.root()?)).await?;
    closed.close().await?;
    watcher.until_sentinel(&other, &context.key("sentinel")?).await.map(drop)
}

async fn closing_a_client_does_not_end_its_sessions(context: Context) -> Outcome {
    let (closed, other) = (context.client().await?, context.client().await?);
    let session: SessionId = context.long_session(&closed).await?;
    let key = context.key("e")?;
    closed.put_with(&key, "", registry_api::PutOptions::ephemeral(session)).await?;
    closed.close().await?;
    context.one_ttl_passes(&other, context.timing().session_ttl, "closed").await?;
    ensure_eq!(G4, present(&other, &key, G4).await?.owner, Some(session), "the owner of the key");
    // Where only its own client can end a session at once, it ends with its ttl.
    if other.support(Capability::SessionAdoption) == Support::Full {
        other.registry().close_session(session).await?;
    }
    Ok(())
}

async fn a_request_over_a_cut_cable_was_not_applied(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    let key = context.key("a")?;
    cable.cut();
    let result = context.soon("the failure of a put", client.put(&key, "never")).await?;
    refused(G15, "a put without servers", result, &ErrorKind::Unavailable)?;
    cable.mend();
    ensure_eq!(G15, other.get(&key).await?, None, "the key of a put that was not applied");
    client.put(&key, "now").await?;
    Ok(())
}

async fn silent_servers_are_no_absence(context: Context) -> Outcome {
    let (client, cable) = context.cabled_client().await?;
    let (key, name) = (context.key("a")?, context.lock("l")?);
    client.put(&key, "").await?;
    cable.cut();
    let found = context.soon("the failure of a get", client.get(&key)).await?;
    refused(G15, "a get without servers", found, &ErrorKind::Unavailable)?;
    let found = context.soon("the failure of a listing", client.list(&Scope::Tree(context.root()?))).await?;
    refused(G15, "a listing without servers", found, &ErrorKind::Unavailable)?;
    let found = context.soon("the failure of a look at a lock", client.inspect_lock(&name)).await?;
    refused(G15, "a look at a lock without servers", found, &ErrorKind::Unavailable)?;
    cable.mend();
    present(&client, &key, G15).await.map(drop)
}

/// What is true of a write that failed: nothing is known, so both outcomes are allowed, and success is not.
async fn told_as_unknown(client: &RegistryClient, key: &registry_api::Key, number: usize) -> Outcome {
    match client.put(key, number.to_string()).await {
        Ok(revision) => Err(Broken::new(G15, format!("a put whose answer was lost is told as done at {revision}"))),
        Err(error) => {
            ensure_eq!(G15, error.effect(), Effect::Unknown, "the effect of a put whose answer was lost");
            Ok(())
        }
    }
}

async fn a_lost_answer_is_told_as_unknown(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    let key = context.key("a")?;
    for number in 0..20 {
        cable.lose_answers();
        told_as_unknown(&client, &key, number).await?;
        cable.mend();
        ensure_eq!(G15, present(&other, &key, G15).await?.value, Bytes::from(number.to_string()), "what was applied");
    }
    Ok(())
}

async fn capabilities_are_the_same_for_every_client(context: Context) -> Outcome {
    let (one, other) = (context.client().await?, context.client().await?);
    for capability in registry_api::Capability::ALL {
        let (first, second) = (one.support(capability), other.support(capability));
        ensure!(G15, first == second, "{capability} is {first:?} for one client and {second:?} for another");
    }
    ensure_eq!(G15, one.backend(), other.backend(), "the name of the backend");
    Ok(())
}
