//! Members inside this process.

use std::time::Duration;

use bytes::Bytes;
use registry_api::{
    ConnectionState, Event, LockName, LockRequest, LockWait, PutOptions, ReadLevel, Registry, RegistryClient, Scope,
    SessionOptions, SubscribeFrom,
};
use registry_raft::{MemberAddress, RaftPlugin, RaftRegistry, RaftSettings, StorageKind, TimingProfile};
use tokio::time::timeout;

use crate::cluster::{PATIENCE, free_addresses, key, next};

fn alone(data: &std::path::Path) -> RaftSettings {
    RaftSettings {
        listen: "127.0.0.1:0".to_owned(),
        data_dir: Some(data.to_owned()),
        request_timeout: PATIENCE,
        ..RaftSettings::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_without_configuration_keeps_what_it_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let registry = RaftRegistry::connect(alone(data.path())).await.unwrap();
    let mut events = registry.subscribe(&Scope::Tree(key("/a")), SubscribeFrom::Snapshot).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Snapshot { .. }));
    let put = registry.put(&key("/a"), Bytes::from_static(b"1"), PutOptions::default()).await.unwrap();
    assert_eq!(next(&mut events).await.revision(), put);
    let session = registry.open_session(SessionOptions::with_ttl(Duration::from_secs(60))).await.unwrap();
    let request = LockRequest { name: LockName::parse("/l").unwrap(), session: session.id, wait: LockWait::Forever };
    let grant = registry.acquire(request).await.unwrap();
    registry.shutdown().await;
    assert_eq!(registry.connection().state(), ConnectionState::Closed);
    assert!(timeout(PATIENCE, events.next()).await.unwrap().is_none(), "the subscription has ended");
    // The stopped registry and its subscription are still held: the data directory is free all the same.
    let restarted = RaftRegistry::connect(alone(data.path())).await.unwrap();
    let lookup = restarted.get(&key("/a"), ReadLevel::Linearizable).await.unwrap();
    assert_eq!(lookup.entry.unwrap().modified, put);
    restarted.heartbeat(session.id).await.unwrap();
    let status = restarted.inspect_lock(&grant.name).await.unwrap();
    assert_eq!(status.holder, Some(grant));
    restarted.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plugin_connects_from_configuration_and_gives_access_to_the_extras() {
    use figment::Figment;
    use figment::providers::{Format, Toml};
    let file = "[registry]\nbackend = \"raft\"\nnamespace = \"/n\"\n\
                [registry.raft]\nlisten = \"127.0.0.1:0\"\nstorage = \"memory\"\n";
    let raft = RaftPlugin::new();
    assert!(raft.raft().is_none());
    let plugins = registry_api::Plugins::new().with(raft.clone());
    let client: RegistryClient = plugins.connect(Figment::from(Toml::string(file)).focus("registry")).await.unwrap();
    client.put(&key("/a"), "1").await.unwrap();
    let status = raft.raft().unwrap().status().await.unwrap();
    assert_eq!((status.leader, status.members.len()), (Some(1), 1));
    assert_eq!(status.members[0].state.as_ref().unwrap().keys, 1);
    client.close().await.unwrap();
}

fn settings_of_three() -> Vec<RaftSettings> {
    let members = free_addresses(3);
    let of = |member: &MemberAddress| RaftSettings {
        node: member.id,
        listen: member.address.clone(),
        members: members.clone(),
        storage: StorageKind::Memory,
        timing: TimingProfile::Test,
        request_timeout: PATIENCE,
        ..RaftSettings::default()
    };
    members.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_of_three_serves_its_users_whoever_leads() {
    let members = futures::future::join_all(settings_of_three().into_iter().map(RaftRegistry::connect)).await;
    let members: Vec<_> = members.into_iter().map(Result::unwrap).collect();
    let mut sessions = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let session = member.open_session(SessionOptions::default()).await.unwrap();
        let mine = key(&format!("/members/{index}"));
        let put = member.put(&mine, Bytes::new(), PutOptions::ephemeral(session.id)).await.unwrap();
        member.heartbeat(session.id).await.unwrap();
        sessions.push(session);
        for reader in &members {
            let lookup = reader.get(&mine, ReadLevel::Linearizable).await.unwrap();
            assert_eq!(lookup.entry.unwrap().modified, put);
        }
    }
    // A lock is passed from member to member.
    let name = LockName::parse("/l").unwrap();
    let request = |index: usize| LockRequest {
        name: name.clone(),
        session: sessions[index].id,
        wait: LockWait::AtMost(PATIENCE),
    };
    let first = members[0].acquire(request(0)).await.unwrap();
    let waiting = members[1].acquire(request(1));
    let releasing = async {
        let queued = async { while members[2].inspect_lock(&name).await.unwrap().waiters.is_empty() {} };
        timeout(PATIENCE, queued).await.expect("the second is queued");
        members[0].release(&first).await.unwrap();
    };
    let (second, ()) = tokio::join!(waiting, releasing);
    assert!(second.unwrap().token > first.token);
    // Leaving in good order, one after another, loses nothing as long as there is a quorum.
    members[0].shutdown().await;
    members[1].put(&key("/after"), Bytes::new(), PutOptions::default()).await.unwrap();
    members[2].get(&key("/after"), ReadLevel::Linearizable).await.unwrap().entry.unwrap();
    futures::future::join_all(members.iter().map(RaftRegistry::shutdown)).await;
}
