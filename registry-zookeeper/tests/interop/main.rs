//! What this backend and programs that nobody here wrote see of each other: ZooKeeper's own shell, kazoo, and Curator.
//! Needs Docker.

use std::sync::Arc;

use conformance_tests::servers::{Programs, Server, Software};
use conformance_tests::{Broken, Outcome};
use registry_api::{
    DeleteOptions, ErrorKind, Event, Key, LockGrant, LockName, LockWait, Precondition, RegistryClient, Scope,
    SessionOptions, Subscription, Transaction,
};
use registry_zookeeper::{ZooKeeperRegistry, ZooKeeperSettings};

/// Where the lock `/a/b` lies on the servers.
const LOCK: &str = "/locks/a/b";

async fn world() -> Outcome<(Server, RegistryClient)> {
    let server = Server::start(Software::ZooKeeper).await?;
    let registry = ZooKeeperRegistry::connect(ZooKeeperSettings::at(&server.address()?)?).await?;
    Ok((server, RegistryClient::new(Arc::new(registry))))
}

/// One command of ZooKeeper's shell.
async fn shell(server: &Server, command: &[&str]) -> Outcome<String> {
    server.run(&[&["zkCli.sh", "-server", "127.0.0.1:2181"], command].concat()).await
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
    let theirs: Key = "/theirs".parse()?;
    let mut subscription = opened(&client, Scope::Key(theirs.clone())).await?;
    shell(&server, &["create", "/theirs", "one"]).await?;
    let told = next_change(&mut subscription).await?;
    assert!(matches!(&told, Event::Put { entry, previous: None } if &*entry.value == b"one"), "told as {told:?}");
    let entry = client.get(&theirs).await?.ok_or_else(|| Broken::harness("a node of the shell is no key"))?;
    assert_eq!((&*entry.value, entry.owner), (b"one".as_slice(), None), "what is read of a node of the shell");
    client.put(&"/app/ours".parse()?, "two").await?;
    let read = shell(&server, &["get", "/app/ours"]).await?;
    assert!(read.lines().any(|line| line == "two"), "what the shell reads: {read}");
    shell(&server, &["delete", "/app/ours"]).await?;
    assert_eq!(client.get(&"/app/ours".parse()?).await?, None, "a key that the shell deleted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ephemeral_keys_are_seen_both_ways() -> Outcome {
    let (server, client) = world().await?;
    let mut subscription = opened(&client, Scope::Key("/theirs".parse()?)).await?;
    let theirs = server.clone();
    // The session of the shell ends with its input.
    let typed = "(echo create -e /theirs short; until [ -e /tmp/leave ]; do sleep 1; done) | \
                 zkCli.sh -server 127.0.0.1:2181";
    let held = tokio::spawn(async move { theirs.run(&["sh", "-c", typed]).await });
    let told = next_change(&mut subscription).await?;
    let Event::Put { entry, .. } = told else {
        return Err(Broken::harness(format!("an ephemeral node is told as {told:?}")));
    };
    assert!(entry.owner.is_some(), "an ephemeral node of the shell has no owner");
    server.run(&["sh", "-c", "echo now > /tmp/leave"]).await?;
    held.await.map_err(Broken::harness)??;
    let told = next_change(&mut subscription).await?;
    assert!(matches!(told, Event::Delete { .. }), "the end of a session of the shell is told as {told:?}");

    let session = client.open_session(SessionOptions::default()).await?;
    session.put(&"/ours".parse()?, "y").await?;
    let stat = shell(&server, &["stat", "/ours"]).await?;
    let owner = stat.lines().find(|line| line.starts_with("ephemeralOwner")).unwrap_or_default();
    assert!(!owner.ends_with("0x0"), "the owner that the shell sees: {stat}");
    session.close().await?;
    let listed = shell(&server, &["ls", "/"]).await?;
    assert!(!listed.contains("ours"), "what the shell lists after the end of the session: {listed}");
    Ok(())
}

/// A program that holds the lock from the node `/entered` until the node `/leave`.
type Holder = fn(Programs) -> tokio::task::JoinHandle<Outcome<String>>;

fn kazoo(programs: Programs) -> tokio::task::JoinHandle<Outcome<String>> {
    tokio::spawn(async move {
        programs.write("/tmp/hold.py", include_str!("hold.py")).await?;
        programs.run(&["python3", "/tmp/hold.py", programs.server(), LOCK]).await
    })
}

fn curator(programs: Programs) -> tokio::task::JoinHandle<Outcome<String>> {
    tokio::spawn(async move {
        programs.write("/tmp/Hold.java", include_str!("Hold.java")).await?;
        let run = ". /usr/share/zookeeper.classpath; java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
                   -cp $classpath:/usr/share/java/curator-recipes.jar:/usr/share/java/curator-framework.jar:\
                   /usr/share/java/curator-client.jar:/usr/share/java/guava.jar /tmp/Hold.java $0 $1";
        programs.run(&["sh", "-c", run, programs.server(), LOCK]).await
    })
}

async fn a_lock_that_we_hold_keeps_it_out(holder: Holder) -> Outcome {
    let (server, client) = world().await?;
    let name: LockName = "/a/b".parse()?;
    let session = client.open_session(SessionOptions::default()).await?;
    let guard = session.lock(&name, LockWait::Try).await?;
    client.put(&"/leave".parse()?, "").await?;
    let locked = holder(server.programs().await?);
    while client.inspect_lock(&name).await?.waiters.is_empty() {
        assert!(!locked.is_finished(), "it did not wait: {:?}", locked.await);
    }
    assert_eq!(client.get(&"/entered".parse()?).await?, None, "it entered while the lock was held");
    guard.put(&"/guarded".parse()?, "still").await?;
    guard.release().await?;
    locked.await.map_err(Broken::harness)??;
    assert!(client.get(&"/entered".parse()?).await?.is_some(), "it did not enter after the release");
    Ok(session.close().await?)
}

async fn a_lock_that_it_holds_keeps_us_out(holder: Holder) -> Outcome {
    let (server, client) = world().await?;
    let name: LockName = "/a/b".parse()?;
    let held = holder(server.programs().await?);
    while client.get(&"/entered".parse()?).await?.is_none() {
        assert!(!held.is_finished(), "it did not hold: {:?}", held.await);
    }
    let session = client.open_session(SessionOptions::default()).await?;
    let refused = session.lock(&name, LockWait::Try).await;
    assert!(refused.is_err(), "a lock that it holds is given: {refused:?}");
    client.put(&"/leave".parse()?, "now").await?;
    let guard = session.lock(&name, LockWait::Forever).await?;
    held.await.map_err(Broken::harness)??;
    guard.check()?;
    guard.release().await?;
    Ok(session.close().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_we_hold_keeps_kazoo_out() -> Outcome {
    a_lock_that_we_hold_keeps_it_out(kazoo).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_kazoo_holds_keeps_us_out() -> Outcome {
    a_lock_that_it_holds_keeps_us_out(kazoo).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_we_hold_keeps_curator_out() -> Outcome {
    a_lock_that_we_hold_keeps_it_out(curator).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_curator_holds_keeps_us_out() -> Outcome {
    a_lock_that_it_holds_keeps_us_out(curator).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_the_shell_took_away_is_lost_whatever_it_guards() -> Outcome {
    let (server, client) = world().await?;
    let session = client.open_session(SessionOptions::default()).await?;
    let key: Key = "/guarded".parse()?;
    client.put(&key, "value").await?;
    let lock = async |name: &str| Ok::<_, Broken>(session.lock(&name.parse()?, LockWait::Forever).await?);
    let (one, other, third) = (lock("/a/put").await?, lock("/a/refused").await?, lock("/a/tree").await?);
    shell(&server, &["deleteall", "/locks/a"]).await?;
    let put = Transaction::builder().lock_held(one.grant().clone()).put(key.clone(), "again");
    let refused = Transaction::builder().lock_held(other.grant().clone()).absent(key.clone()).put(key, "again");
    let tree = DeleteOptions::when(Precondition::LockHeld(third.grant().clone()));
    let told = [
        client.commit(put.build()?).await.map(drop),
        client.commit(refused.build()?).await.map(drop),
        client.delete_with(&Scope::Tree("/nothing/there".parse()?), tree).await.map(drop),
    ];
    for (result, what) in told.into_iter().zip(["a put", "one that is refused anyway", "a delete of nothing"]) {
        let kind = result.map_err(|error| error.kind().clone());
        assert_eq!(kind, Err(ErrorKind::LockLost), "{what}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_guards_with_the_name_of_its_own_lock_only() -> Outcome {
    let (_server, client) = world().await?;
    let session = client.open_session(SessionOptions::default()).await?;
    let guard = session.lock(&"/a/held".parse()?, LockWait::Forever).await?;
    let other = LockGrant { name: "/a/other".parse()?, ..guard.grant().clone() };
    let put = Transaction::builder().lock_held(other).put("/guarded".parse()?, "value");
    let kind = client.commit(put.build()?).await.map_err(|error| error.kind().clone());
    assert_eq!(kind, Err(ErrorKind::LockLost));
    Ok(())
}
