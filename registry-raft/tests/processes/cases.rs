//! What must hold when processes die.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use registry_api::{Effect, ErrorKind, Key, LockName, LockWait, ReadLevel, RegistryClient, SessionOptions};
use rustix::process::Signal;

use crate::fleet::{Fleet, eventually, within};

type Case = fn() -> Pin<Box<dyn Future<Output = ()>>>;

/// Every case, by the requirement that it shows.
pub(crate) fn all() -> Vec<(&'static str, Case)> {
    vec![
        ("all_members_killed_at_once_lose_nothing_that_was_acknowledged", || Box::pin(all_killed_at_once())),
        ("sessions_and_locks_outlive_the_death_of_all_members", || Box::pin(sessions_and_locks_outlive_all())),
        ("five_members_survive_two_deaths_and_refuse_after_the_third", || Box::pin(five_members())),
        ("writes_go_on_soon_after_the_leader_is_killed", || Box::pin(leader_killed())),
        ("a_frozen_leader_is_replaced_and_deposes_nobody_when_it_thaws", || Box::pin(leader_frozen())),
        ("a_graceful_stop_hands_leadership_over", || Box::pin(graceful_stop())),
        ("damage_in_the_middle_of_the_log_is_refused_by_name", || Box::pin(damaged_log())),
    ]
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

async fn put_many(client: &RegistryClient, count: u32) {
    for number in 0..count {
        client.put(&key(&format!("/written/{number}")), number.to_string()).await.unwrap();
    }
}

async fn assert_many(client: &RegistryClient, count: u32) {
    for number in 0..count {
        let entry = client.get(&key(&format!("/written/{number}"))).await.unwrap();
        let value = entry.unwrap_or_else(|| panic!("the acknowledged write {number} is lost")).value;
        assert_eq!(value, number.to_string());
    }
}

/// Puts until a put succeeds.
async fn put_eventually(client: &RegistryClient, at: &Key) {
    eventually("a successful put", async || client.put(at, "again").await.ok()).await;
}

async fn all_killed_at_once() {
    let mut fleet = Fleet::start(3).await;
    let client = fleet.client().await;
    put_many(&client, 100).await;

    fleet.kill(1..=3).await;
    fleet.restart(1..=3).await;

    put_eventually(&client, &key("/after")).await;
    assert_many(&client, 100).await;
    assert_many(&fleet.client().await, 100).await;
}

async fn sessions_and_locks_outlive_all() {
    let mut fleet = Fleet::start(3).await;
    let client = fleet.client().await;
    let session = client.open_session(SessionOptions::with_ttl(Duration::from_secs(20))).await.unwrap();
    session.put(&key("/alive"), "me").await.unwrap();
    let name: LockName = "/lock".parse().unwrap();
    let guard = session.lock(&name, LockWait::Forever).await.unwrap();
    let grant = guard.grant().clone();

    fleet.kill(1..=3).await;
    fleet.restart(1..=3).await;

    put_eventually(&client, &key("/after")).await;
    assert!(session.is_alive());
    guard.check().unwrap();
    guard.put(&key("/guarded"), "still mine").await.unwrap();
    let observer = fleet.client().await;
    assert_eq!(observer.get(&key("/alive")).await.unwrap().unwrap().owner, Some(session.id()));
    assert_eq!(observer.inspect_lock(&name).await.unwrap().holder, Some(grant));
}

async fn five_members() {
    let mut fleet = Fleet::start(5).await;
    let client = fleet.client().await;
    put_many(&client, 20).await;
    let (leader, _) = fleet.leader().await;
    let mut others = (1..=5).filter(|member| *member != leader);
    let (second, third) = (others.next().unwrap(), others.next().unwrap());

    fleet.kill([leader, second]).await;
    put_eventually(&client, &key("/after/two")).await;
    assert_many(&client, 20).await;

    fleet.kill([third]).await;
    let refused = within("a refusal", client.put(&key("/after/three"), "no")).await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Unavailable | ErrorKind::DeadlineExceeded), "{refused}");
    let unread = within("a refusal", client.get(&key("/written/0"))).await.unwrap_err();
    assert_eq!(unread.effect(), Effect::NotApplied, "{unread}");
    let stale = within("a stale read", client.lookup(&key("/written/0"), ReadLevel::Stale)).await.unwrap();
    assert_eq!(stale.entry.unwrap().value, "0");

    fleet.restart([third]).await;
    put_eventually(&client, &key("/after/return")).await;
    assert_many(&client, 20).await;
}

async fn leader_killed() {
    let mut fleet = Fleet::start(3).await;
    let client = fleet.client().await;
    put_many(&client, 20).await;
    let (leader, term) = fleet.leader().await;

    fleet.kill([leader]).await;
    let killed = Instant::now();
    put_eventually(&client, &key("/after")).await;
    let gap = killed.elapsed();

    assert!(gap < Duration::from_secs(3), "{gap:?} until the next successful write");
    assert_many(&client, 20).await;
    let (successor, new_term) = fleet.leader().await;
    assert_ne!(successor, leader);
    assert!(new_term > term);
}

async fn leader_frozen() {
    let mut fleet = Fleet::start(3).await;
    let client = fleet.client().await;
    put_many(&client, 20).await;
    let (leader, _) = fleet.leader().await;

    fleet.signal(leader, Signal::STOP);
    put_eventually(&client, &key("/after/freeze")).await;
    let (successor, term) = eventually("a successor", async || {
        let found = fleet.leader().await;
        (found.0 != leader).then_some(found)
    })
    .await;

    fleet.signal(leader, Signal::CONT);
    put_many(&client, 50).await;
    assert_eq!(fleet.leader().await, (successor, term), "the thawed member disturbed the others");
    fleet.kill([leader]).await;
}

async fn graceful_stop() {
    let mut fleet = Fleet::start(3).await;
    let client = fleet.client().await;
    put_many(&client, 20).await;
    let (leader, _) = fleet.leader().await;

    fleet.stop(leader).await;

    within("a put", client.put(&key("/after"), "stop")).await.unwrap();
    assert_ne!(fleet.leader().await.0, leader);
    fleet.restart([leader]).await;
    assert_many(&client, 20).await;
}

async fn damaged_log() {
    let mut fleet = Fleet::start(1).await;
    let client = fleet.client().await;
    put_many(&client, 50).await;
    fleet.kill([1]).await;
    let (file, offset) = damage_the_middle_of_the_log(&fleet.data_dir(1));

    let line = fleet.refusal(1).await;

    assert_eq!(line.trim().lines().count(), 1, "{line}");
    assert!(line.contains(&file), "names {file}: {line}");
    assert!(line.contains("at byte"), "says where (damaged near {offset}): {line}");
}

/// Flips one bit of the value "/written/25", far from the log's tail; the file's name and the offset.
fn damage_the_middle_of_the_log(data_dir: &std::path::Path) -> (String, usize) {
    let needle = b"/written/25";
    let mut directories = vec![data_dir.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let mut bytes = std::fs::read(&path).unwrap();
            if let Some(offset) = bytes.windows(needle.len()).position(|window| window == needle) {
                *bytes.get_mut(offset).unwrap() ^= 1;
                std::fs::write(&path, bytes).unwrap();
                return (path.file_name().unwrap().to_string_lossy().into_owned(), offset);
            }
        }
    }
    panic!("no file of the log holds the write");
}
