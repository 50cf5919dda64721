//! Sessions of the reference: expiry and what is left of them.

use std::time::Duration;

use tokio::time::Instant;

use super::{put, refused, session};
use crate::memory::{MemoryStore, MemoryUsage};
use crate::{ErrorKind, PutOptions, Registry, Scope, SessionId, SessionOptions, SubscribeFrom};

#[tokio::test(start_paused = true)]
async fn a_silent_session_ends_at_its_ttl_and_all_its_keys_at_one_revision() {
    let store = MemoryStore::new();
    let registry = store.client();
    let ttl = Duration::from_secs(2);
    let silent = registry.open_session(SessionOptions::with_ttl(ttl)).await.unwrap().id;
    for number in 0..10 {
        put(&*registry, &format!("/e/{number}"), PutOptions::ephemeral(silent)).await.unwrap();
    }
    let mut events = registry.subscribe(&Scope::All, SubscribeFrom::Snapshot).await.unwrap();
    events.next().await.unwrap().unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    registry.heartbeat(silent).await.unwrap();
    let last_heartbeat = Instant::now();

    let first = events.next().await.unwrap().unwrap();

    // Timers have a resolution of one millisecond.
    let silence = last_heartbeat.elapsed();
    assert!(silence >= ttl && silence <= ttl + Duration::from_millis(2), "{silence:?}");
    for _ in 1..10 {
        assert_eq!(events.next().await.unwrap().unwrap().revision(), first.revision());
    }
    assert_eq!(refused(registry.heartbeat(silent).await), ErrorKind::SessionEnded);
    assert_eq!(refused(put(&*registry, "/e/0", PutOptions::ephemeral(silent)).await), ErrorKind::SessionEnded);
    assert!(registry.close_session(silent).await.is_ok(), "ending what has ended succeeds");
    assert_eq!(refused(registry.close_session(SessionId::new(77)).await), ErrorKind::SessionEnded);
    assert_eq!((store.usage().sessions, store.usage().keys), (0, 0));
}

#[test]
fn sessions_expire_also_after_the_runtime_that_opened_them_has_stopped() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let store = MemoryStore::new();
    let open_with = async |key: &str| {
        let registry = store.client();
        let id = session(&*registry).await;
        put(&*registry, key, PutOptions::ephemeral(id)).await.unwrap();
        registry
    };
    runtime().block_on(async { drop(open_with("/before").await) });
    runtime().block_on(async {
        let registry = open_with("/after").await;
        let mut events = registry.subscribe(&Scope::All, SubscribeFrom::Snapshot).await.unwrap();
        events.next().await.unwrap().unwrap();
        for _ in ["/before", "/after"] {
            let ended = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
            ended.expect("a session outlives its ttl").unwrap().unwrap();
        }
        assert_eq!((store.usage().sessions, store.usage().keys), (0, 0));
    });
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_sessions_leave_no_trace() {
    let store = MemoryStore::new();
    let registry = store.client();
    for _ in 0..100_000 {
        let id = session(&*registry).await;
        registry.close_session(id).await.unwrap();
    }
    assert_eq!(store.usage(), MemoryUsage::default());
}
