//! Members are killed; what clients hold goes on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use registry_api::{
    Effect, Event, LockName, LockRequest, LockWait, PutOptions, ReadLevel, Registry, Scope, SessionOptions,
    SubscribeFrom,
};
use tokio::time::{Instant, timeout};

use crate::cluster::{Cluster, PATIENCE, key, leader, next};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_sessions_and_subscriptions_survive_the_death_of_each_leader() {
    let mut cluster = Cluster::start(3);
    let client = Arc::new(cluster.client().await);
    let session = client.open_session(SessionOptions::with_ttl(Duration::from_secs(20))).await.unwrap();
    let mut events = client.subscribe(&Scope::Tree(key("/w")), SubscribeFrom::Snapshot).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Snapshot { .. }));
    let writer = Arc::clone(&client);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::spawn(async move {
        let mut revisions = Vec::new();
        while stopped.try_recv().is_err() {
            let value = Bytes::from(revisions.len().to_string());
            revisions.push(writer.put(&key("/w/counter"), value, PutOptions::default()).await.unwrap());
        }
        revisions
    });
    for _ in 0..2 {
        let led = leader(&client).await;
        cluster.kill(led).await;
        let killed = Instant::now();
        client.put(&key("/mark"), Bytes::new(), PutOptions::default()).await.unwrap();
        println!("first write {:?} after the leader {led} was killed", killed.elapsed());
        client.heartbeat(session.id).await.unwrap();
        cluster.run(led);
        // The group is whole again before the next one dies.
        let whole =
            async { while client.status().await.unwrap().members.iter().any(|member| member.state.is_err()) {} };
        timeout(PATIENCE, whole).await.expect("the member is back");
    }
    stop.send(()).unwrap();
    let revisions = writing.await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < revisions.len() {
        match next(&mut events).await {
            Event::Put { entry, .. } => seen.push(entry.modified),
            Event::Progress { .. } => {}
            other => panic!("neither gap nor duplicate is expected, but {other:?}"),
        }
    }
    assert_eq!(seen, revisions, "every write once, in order");
    client.heartbeat(session.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_for_a_lock_survives_the_death_of_every_member_it_goes_through() {
    let mut cluster = Cluster::start(3);
    let client = Arc::new(cluster.client().await);
    let ttl = SessionOptions::with_ttl(Duration::from_secs(60));
    let holder = client.open_session(ttl.clone()).await.unwrap();
    let waiter = client.open_session(ttl).await.unwrap();
    let name = LockName::parse("/l").unwrap();
    let request = |session| LockRequest { name: name.clone(), session, wait: LockWait::Forever };
    let first = client.acquire(request(holder.id)).await.unwrap();
    let waiting = tokio::spawn({
        let (client, request) = (Arc::clone(&client), request(waiter.id));
        async move { client.acquire(request).await }
    });
    let queued = async { while client.inspect_lock(&name).await.unwrap().waiters.is_empty() {} };
    timeout(PATIENCE, queued).await.expect("the second is queued");
    for id in 1..=3 {
        cluster.kill(id).await;
        client.get(&key("/a"), ReadLevel::Linearizable).await.unwrap();
        cluster.run(id);
        let whole =
            async { while client.status().await.unwrap().members.iter().any(|member| member.state.is_err()) {} };
        timeout(PATIENCE, whole).await.expect("the member is back");
    }
    client.release(&first).await.unwrap();
    let second = timeout(PATIENCE, waiting).await.expect("granted in time").unwrap().unwrap();
    assert!(second.token > first.token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_the_death_of_all_members_at_once() {
    let mut cluster = Cluster::start(3);
    let client = cluster.client().await;
    let session = client.open_session(SessionOptions::with_ttl(Duration::from_secs(60))).await.unwrap();
    let put = client.put(&key("/a"), Bytes::from_static(b"1"), PutOptions::default()).await.unwrap();
    let request = LockRequest { name: LockName::parse("/l").unwrap(), session: session.id, wait: LockWait::Try };
    let grant = client.acquire(request).await.unwrap();
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    for id in 1..=3 {
        cluster.run(id);
    }
    let lookup = client.get(&key("/a"), ReadLevel::Linearizable).await.unwrap();
    assert_eq!(lookup.entry.unwrap().modified, put);
    client.heartbeat(session.id).await.unwrap();
    assert_eq!(client.inspect_lock(&grant.name).await.unwrap().holder, Some(grant));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_writes_fail_in_time_and_say_what_is_known() {
    let mut cluster = Cluster::start(3);
    let warm = cluster.client().await;
    warm.put(&key("/a"), Bytes::new(), PutOptions::default()).await.unwrap();
    let led = leader(&warm).await;
    for id in (1..=3).filter(|id| *id != led) {
        cluster.kill(id).await;
    }
    let settings = registry_raft::RaftSettings { request_timeout: Duration::from_secs(2), ..cluster.client_settings() };
    let client = registry_raft::RaftRegistry::connect(settings).await.unwrap();
    let started = Instant::now();
    let error = client.put(&key("/a"), Bytes::new(), PutOptions::default()).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    println!("{error}");
    assert!(
        matches!(error.effect(), Effect::NotApplied | Effect::Unknown) && error.message().contains("request timeout"),
        "{error}"
    );
    let stale = client.get(&key("/a"), ReadLevel::Stale).await.unwrap();
    assert!(stale.entry.is_some());
    let error = client.get(&key("/a"), ReadLevel::Linearizable).await.unwrap_err();
    assert_eq!(error.effect(), Effect::NotApplied, "{error}");
}
