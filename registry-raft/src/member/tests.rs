//! One member end to end: through the boundary of its process, and over its port.

mod group;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use registry_api::{
    Capability, DeleteOptions, Event, Key, ListOptions, LockName, LockRequest, LockWait, PutOptions, ReadLevel,
    Registry, Scope, SessionOptions, SnapshotReason, SubscribeFrom, Subscription,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::*;
use crate::client::{Caller, ClientTiming, Group, Links, Target};
use crate::consensus::{ClusterId, CompactionPolicy, Identity, PeerStamp};
use crate::proto;
use crate::proto::peer_client::PeerClient;
use crate::registry::{Foundation, RaftRegistry};
use crate::timing::Timing;

const PATIENCE: Duration = Duration::from_secs(20);

fn alone() -> MemberSettings {
    MemberSettings {
        cluster: "test".to_owned(),
        node: 1,
        listen: "127.0.0.1:0".to_owned(),
        exposure: Exposure::Loopback,
        members: BTreeMap::from([(1, "127.0.0.1:0".to_owned())]),
        data: DataPlace::Memory,
        timing: Timing::test(),
        compaction: CompactionPolicy::default(),
    }
}

fn registry(member: &Member, local: Option<LocalMember>) -> RaftRegistry {
    let target = Target { id: member.node, address: member.address().to_string() };
    let timing = ClientTiming::default();
    let group = Arc::new(Group::new("test".to_owned(), vec![target]));
    let links = Links::new(Arc::clone(&group), Caller::client("test"), timing);
    let label = "test".to_owned();
    RaftRegistry::start(Foundation { group, links, local, timing, label, request_timeout: PATIENCE })
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

async fn next(subscription: &mut Subscription) -> Event {
    timeout(PATIENCE, subscription.next()).await.expect("an event in time").expect("an event").expect("no error")
}

async fn get(member: &Member, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(member.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: member\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer in time").unwrap();
    answer
}

/// What an application does, through whichever way in.
async fn use_it(registry: &RaftRegistry) {
    let mut events = registry.subscribe(&Scope::Tree(key("/a")), SubscribeFrom::Snapshot).await.unwrap();
    assert!(
        matches!(next(&mut events).await, Event::Snapshot { reason: SnapshotReason::Initial, listing } if listing.children.is_empty())
    );
    let revision = registry.put(&key("/a/b"), Bytes::from_static(b"1"), PutOptions::default()).await.unwrap();
    let lookup = registry.get(&key("/a/b"), ReadLevel::Linearizable).await.unwrap();
    assert_eq!(lookup.entry.unwrap().modified, revision);
    assert_eq!(next(&mut events).await.revision(), revision);
    assert_eq!(registry.list(&Scope::All, ListOptions::default()).await.unwrap().children.len(), 1);

    let first = registry.open_session(SessionOptions::with_ttl(Duration::from_secs(5))).await.unwrap();
    let second = registry.open_session(SessionOptions::with_ttl(Duration::from_secs(5))).await.unwrap();
    registry.heartbeat(first.id).await.unwrap();
    let name = LockName::parse("/lock").unwrap();
    let request = |session| LockRequest { name: name.clone(), session, wait: LockWait::AtMost(PATIENCE) };
    let grant = registry.acquire(request(first.id)).await.unwrap();
    let waiting = registry.acquire(request(second.id));
    let releasing = async {
        let queued = async { while registry.inspect_lock(&name).await.unwrap().waiters.is_empty() {} };
        timeout(PATIENCE, queued).await.expect("the second is queued");
        registry.release(&grant).await.unwrap();
    };
    let (granted, ()) = tokio::join!(waiting, releasing);
    assert!(granted.unwrap().token > grant.token);

    registry.put(&key("/a/e"), Bytes::new(), PutOptions::ephemeral(second.id)).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Put { previous: None, .. }));
    registry.close_session(second.id).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Delete { previous, .. } if previous.key == key("/a/e")));
    registry.heartbeat(second.id).await.unwrap_err();
    assert_eq!(registry.delete(&Scope::Tree(key("/a")), DeleteOptions::default()).await.unwrap().count, 1);
    assert_eq!(registry.support(Capability::ResumeFromRevision), registry_api::Support::Full);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_serves_its_own_process() {
    let member = Member::start(alone()).await.unwrap();
    let registry = registry(&member, Some(member.local()));
    timeout(PATIENCE, use_it(&registry)).await.unwrap();
    timeout(PATIENCE, member.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_serves_remote_clients() {
    let member = Member::start(alone()).await.unwrap();
    let registry = registry(&member, None);
    timeout(PATIENCE, use_it(&registry)).await.unwrap();
    timeout(PATIENCE, member.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_session_ends_after_its_ttl_with_a_certificate() {
    let member = Member::start(alone()).await.unwrap();
    let registry = registry(&member, Some(member.local()));
    let ttl = Duration::from_millis(600);
    let session = registry.open_session(SessionOptions { ttl, label: "worker-7".to_owned() }).await.unwrap();
    let mut events = registry.subscribe(&Scope::All, SubscribeFrom::Snapshot).await.unwrap();
    next(&mut events).await;
    registry.put(&key("/e"), Bytes::new(), PutOptions::ephemeral(session.id)).await.unwrap();
    next(&mut events).await;
    let heard = Instant::now();
    registry.heartbeat(session.id).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Delete { .. }));
    let gone_after = heard.elapsed();
    assert!(gone_after >= ttl, "{gone_after:?}");
    assert!(gone_after < ttl + Duration::from_millis(500) * 4, "{gone_after:?}");
    let deaths = registry.deaths().await.unwrap();
    assert_eq!(deaths.last().unwrap().label, "worker-7");
    timeout(PATIENCE, member.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_metrics_and_status_are_on_the_same_port() {
    let member = Member::start(alone()).await.unwrap();
    let registry = registry(&member, Some(member.local()));
    registry.put(&key("/a"), Bytes::new(), PutOptions::default()).await.unwrap();
    assert!(get(&member, "/health").await.starts_with("HTTP/1.1 200"));
    assert!(get(&member, "/ready").await.starts_with("HTTP/1.1 200"));
    let status = get(&member, "/status").await;
    assert!(status.contains("\"leader\":1") && status.contains("\"keys\":1"), "{status}");
    let metrics = get(&member, "/metrics").await;
    assert!(metrics.contains("registry_raft_proposals_total{member=\"1\"}"), "{metrics}");
    timeout(PATIENCE, member.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_at_the_start_is_one_line() {
    let member = Member::start(alone()).await.unwrap();
    let taken = MemberSettings { listen: member.address().to_string(), ..alone() };
    let stranger = MemberSettings { node: 9, ..alone() };
    let nowhere = MemberSettings { data: DataPlace::Directory("/proc/nowhere/data".into()), ..alone() };
    for (settings, names) in [(taken, "already"), (stranger, "node = 9"), (nowhere, "/proc/nowhere/data")] {
        let error = Member::start(settings).await.unwrap_err();
        assert_eq!(*error.kind(), registry_api::ErrorKind::Configuration, "{error}");
        assert!(error.message().contains(names) || error.message().contains("in use"), "{error}");
        assert!(!error.message().contains('\n'), "{error}");
    }
    timeout(PATIENCE, member.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_members_live_in_one_process_and_stop_in_order() {
    let one = Member::start(alone()).await.unwrap();
    let other = Member::start(MemberSettings { cluster: "other".to_owned(), ..alone() }).await.unwrap();
    let registry = registry(&one, None);
    registry.put(&key("/a"), Bytes::new(), PutOptions::default()).await.unwrap();
    timeout(PATIENCE, one.shutdown()).await.unwrap();
    timeout(PATIENCE, one.shutdown()).await.unwrap();
    timeout(PATIENCE, other.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_dropped_lets_go_of_a_peer_that_holds_on() {
    let members = BTreeMap::from([(1, "127.0.0.1:0".to_owned()), (2, "127.0.0.1:1".to_owned())]);
    let member = Member::start(MemberSettings { members, ..alone() }).await.unwrap();
    let stamp = PeerStamp::new(Identity { cluster: ClusterId::of_name("test"), node: 2 }, 1);
    let channel = tonic::transport::Endpoint::new(format!("http://{}", member.address())).unwrap().connect_lazy();
    let mut peer = PeerClient::with_interceptor(channel, stamp);
    let mut notices = peer.attend(proto::AttendRequest::default()).await.unwrap().into_inner();
    assert!(!notices.message().await.unwrap().unwrap().leaving);
    drop(member);
    let until_the_end = async { while let Ok(Some(_farewell)) = notices.message().await {} };
    timeout(PATIENCE, until_the_end).await.expect("the end of a stream of a member that is gone");
}

#[test]
fn a_member_answers_while_the_application_that_started_it_runs_nothing() {
    let application = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let member = application.block_on(Member::start(alone())).unwrap();
    let mut stream = std::net::TcpStream::connect(member.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /health HTTP/1.1\r\nHost: member\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
