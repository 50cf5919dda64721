//! What this backend and `etcdctl`, which nobody here wrote, see of each other. Needs Docker.

use std::sync::Arc;

use conformance_tests::servers::{Server, Software};
use conformance_tests::{Broken, Outcome};
use registry_api::{Event, Key, LockName, LockWait, RegistryClient, Scope, SessionOptions, Subscription};
use registry_etcd::{EtcdRegistry, EtcdSettings};

async fn world() -> Outcome<(Server, RegistryClient)> {
    let server = Server::start(Software::Etcd).await?;
    let registry = EtcdRegistry::connect(EtcdSettings::new(vec![server.address()?])?).await?;
    Ok((server, RegistryClient::new(Arc::new(registry))))
}

/// A subscription whose snapshot was read: what is told from here on are changes.
async fn opened(client: &RegistryClient, scope: Scope) -> Outcome<Subscription> {
    let mut subscription = client.subscribe(&scope).await?;
    match subscription.next().await.transpose()? {
        Some(Event::Snapshot { .. }) => Ok(subscription),
        other => Err(Broken::harness(format!("a subscription begins with {other:?}"))),
    }
}

/// The next event that tells of a change.
async fn next_change(subscription: &mut Subscription) -> Outcome<Event> {
    while let Some(event) = subscription.next().await {
        match event? {
            Event::Snapshot { .. } | Event::Progress { .. } => {}
            change => return Ok(change),
        }
    }
    Err(Broken::harness("the subscription ended"))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_seen_both_ways() -> Outcome {
    let (server, client) = world().await?;
    let (theirs, ours): (Key, Key) = ("/app/theirs".parse()?, "/app/ours".parse()?);
    let mut subscription = opened(&client, Scope::Tree("/app".parse()?)).await?;
    server.run(&["etcdctl", "put", "/app/theirs", "one"]).await?;
    let Event::Put { entry, previous: None } = next_change(&mut subscription).await? else {
        return Err(Broken::harness("a put of etcdctl is told as something else"));
    };
    assert_eq!((&entry.key, &*entry.value), (&theirs, b"one".as_slice()), "what is told of a put of etcdctl");
    assert_eq!(client.get(&theirs).await?, Some(entry), "what is read of a put of etcdctl");
    client.put(&ours, "two").await?;
    let read = server.run(&["etcdctl", "get", "--print-value-only", "/app/ours"]).await?;
    assert_eq!(read, "two\n", "what etcdctl reads");
    server.run(&["etcdctl", "del", "/app/ours"]).await?;
    assert_eq!(client.get(&ours).await?, None, "a key that etcdctl deleted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_puts_reach_a_watch_of_theirs() -> Outcome {
    let (server, client) = world().await?;
    let from = client.put(&"/app/a".parse()?, "before").await?.counter + 1;
    client.put(&"/app/a".parse()?, "after").await?;
    // It would wait for ever; the end of its first answer ends it.
    let watch = format!(
        "etcdctl watch --rev={from} /app/a > /tmp/told & \
                         until grep -q after /tmp/told; do :; done; kill $!; cat /tmp/told"
    );
    let told = server.run(&["sh", "-c", &watch]).await?;
    assert_eq!(told, "PUT\n/app/a\nafter\n", "what a watch of etcdctl is told");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ephemeral_keys_end_both_ways() -> Outcome {
    let (server, client) = world().await?;
    let granted = server.run(&["etcdctl", "lease", "grant", "600"]).await?;
    let lease = granted.split_whitespace().nth(1).unwrap_or_default().to_owned();
    server.run(&["etcdctl", "put", &format!("--lease={lease}"), "/app/theirs", "x"]).await?;
    let key: Key = "/app/theirs".parse()?;
    let mut subscription = opened(&client, Scope::Key(key.clone())).await?;
    let owner = client.get(&key).await?.and_then(|entry| entry.owner);
    assert!(owner.is_some(), "a key with a lease has no owner");
    server.run(&["etcdctl", "lease", "revoke", &lease]).await?;
    let told = next_change(&mut subscription).await?;
    assert!(matches!(told, Event::Delete { .. }), "the end of a lease is told as {told:?}");

    let session = client.open_session(SessionOptions::default()).await?;
    session.put(&"/app/ours".parse()?, "y").await?;
    let leases = server.run(&["etcdctl", "lease", "list"]).await?;
    assert!(leases.contains("found 1 leases"), "the session among the leases of etcdctl: {leases}");
    session.close().await?;
    let read = server.run(&["etcdctl", "get", "/app/ours"]).await?;
    assert_eq!(read, "", "what etcdctl reads after the end of the session");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_we_hold_keeps_etcdctl_out() -> Outcome {
    let (server, client) = world().await?;
    let name: LockName = "/a/b".parse()?;
    let session = client.open_session(SessionOptions::default()).await?;
    let guard = session.lock(&name, LockWait::Try).await?;
    let theirs = server.clone();
    let locked = tokio::spawn(async move {
        theirs.run(&["etcdctl", "lock", "/locks/a/b", "--", "etcdctl", "put", "/entered", "yes"]).await
    });
    while client.inspect_lock(&name).await?.waiters.is_empty() {
        assert!(!locked.is_finished(), "etcdctl did not wait: {:?}", locked.await);
    }
    assert_eq!(client.get(&"/entered".parse()?).await?, None, "etcdctl entered while the lock was held");
    guard.put(&"/guarded".parse()?, "still").await?;
    guard.release().await?;
    locked.await.map_err(Broken::harness)??;
    assert!(client.get(&"/entered".parse()?).await?.is_some(), "etcdctl did not enter after the release");
    Ok(session.close().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_etcdctl_holds_keeps_us_out() -> Outcome {
    let (server, client) = world().await?;
    let name: LockName = "/a/b".parse()?;
    let theirs = server.clone();
    let hold = "etcdctl put /entered yes; until etcdctl get /leave | grep -q now; do :; done";
    let held =
        tokio::spawn(async move { theirs.run(&["etcdctl", "lock", "/locks/a/b", "--", "sh", "-c", hold]).await });
    while client.get(&"/entered".parse()?).await?.is_none() {
        assert!(!held.is_finished(), "etcdctl did not hold: {:?}", held.await);
    }
    let session = client.open_session(SessionOptions::default()).await?;
    let refused = session.lock(&name, LockWait::Try).await;
    assert!(refused.is_err(), "a lock that etcdctl holds is given: {refused:?}");
    assert!(client.inspect_lock(&name).await?.holder.is_some(), "a lock that etcdctl holds has no holder");
    client.put(&"/leave".parse()?, "now").await?;
    let guard = session.lock(&name, LockWait::Forever).await?;
    held.await.map_err(Broken::harness)??;
    guard.check()?;
    guard.release().await?;
    Ok(session.close().await?)
}
