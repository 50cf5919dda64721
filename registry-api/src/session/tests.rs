//! What a session promises its holder.

use std::time::Duration;

use tokio::time::Instant;

use super::life::Life;
use crate::clock::{Clock, TestClock};
use crate::memory::Reachability;
use crate::testbed::{TTL, Testbed, key, settle};
use crate::{Effect, ErrorKind, Event, Scope, SessionEnd, SessionOptions, SessionState};

#[tokio::test(start_paused = true)]
async fn a_session_lives_as_long_as_its_heartbeats_are_confirmed() {
    let bed = Testbed::new();
    let session = bed.session().await;
    session.put(&key("/n"), "1").await.unwrap();

    tokio::time::sleep(TTL * 20).await;

    assert_eq!(session.state(), SessionState::Connected);
    assert!(bed.client.get(&key("/n")).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_session_without_confirmation_ends_at_its_deadline_and_before_the_store_ends_it() {
    let bed = Testbed::new();
    let session = bed.session().await;
    session.put(&key("/n"), "1").await.unwrap();
    let mut watcher = bed.other_client().subscribe(&Scope::All).await.unwrap();
    watcher.next().await.unwrap().unwrap();
    bed.registry.set_reachable(Reachability::Silent);
    let remaining = session.deadline().remaining();
    let cut = Instant::now();

    let end = session.ended().await;

    assert_eq!(end, SessionEnd::Presumed);
    assert_eq!(cut.elapsed().as_millis(), remaining.as_millis());
    assert!(remaining < TTL, "a margin is kept");
    assert_eq!(bed.store.usage().sessions, 1, "the store still believes in it");
    let event = watcher.next().await.unwrap().unwrap();
    assert!(matches!(event, Event::Delete { .. }));
    assert!(cut.elapsed() >= TTL - Duration::from_secs(4) && cut.elapsed() > remaining);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_when_the_heartbeat_was_sent() {
    let bed = Testbed::new();
    bed.registry.set_reachable(Reachability::Silent);
    let asked = Instant::now();
    let (session, ()) = tokio::join!(bed.session(), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        bed.registry.set_reachable(Reachability::Reachable);
    });

    let deadline_after = asked.elapsed() + session.deadline().remaining();
    assert!(deadline_after < TTL, "granted 3 s after it was asked for, it counts from the asking: {deadline_after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_counts_from_when_its_heartbeat_was_sent() {
    let bed = Testbed::new();
    let opened = Instant::now();
    let session = bed.session().await;
    bed.registry.set_reachable(Reachability::Silent);
    tokio::time::sleep(TTL / 2).await;
    bed.registry.set_reachable(Reachability::Reachable);
    settle().await;

    let deadline_after = opened.elapsed() + session.deadline().remaining();

    assert!(deadline_after > TTL, "the heartbeat was confirmed: {deadline_after:?}");
    assert!(deadline_after < TTL + TTL / 3, "sent after a third of the ttl, it counts from there: {deadline_after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_the_deadline_does_not_revive_even_if_nobody_looked_before() {
    let clock = TestClock::new();
    let life = Life::new(clock.clone(), clock.now().plus(TTL));
    clock.jump(TTL);
    life.confirm(clock.now().plus(TTL));
    assert_eq!(life.state(), SessionState::Ended(SessionEnd::Presumed));
}

#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_the_ttl_suspends_and_loses_nothing() {
    let bed = Testbed::new();
    let session = bed.session().await;
    session.put(&key("/n"), "1").await.unwrap();
    let mut states = session.states();
    assert_eq!(states.next().await, Some(SessionState::Connected));

    bed.registry.set_reachable(Reachability::Refusing);
    assert!(matches!(states.next().await, Some(SessionState::Suspended { .. })));
    bed.registry.set_reachable(Reachability::Reachable);
    assert_eq!(states.next().await, Some(SessionState::Connected));

    tokio::time::sleep(TTL * 2).await;
    assert!(session.is_alive());
    assert!(bed.client.get(&key("/n")).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_never_revives() {
    let bed = Testbed::new();
    let session = bed.session().await;
    bed.registry.set_reachable(Reachability::Refusing);
    assert_eq!(session.ended().await, SessionEnd::Presumed);

    bed.registry.set_reachable(Reachability::Reachable);
    tokio::time::sleep(TTL).await;

    assert_eq!(session.state(), SessionState::Ended(SessionEnd::Presumed));
    let error = session.put(&key("/n"), "1").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (&ErrorKind::SessionEnded, Effect::NotApplied));
}

#[tokio::test(start_paused = true)]
async fn after_a_freeze_the_first_look_tells_the_truth_even_if_the_store_kept_the_session() {
    let bed = Testbed::new();
    let session = bed.session().await;

    bed.clock.jump(TTL);

    assert!(!session.is_alive());
    // The store did not freeze: a heartbeat now would succeed, and must not bring the session back.
    assert!(bed.client.heartbeat(session.id()).await.is_ok());
    tokio::time::sleep(TTL * 2).await;
    assert_eq!(session.state(), SessionState::Ended(SessionEnd::Presumed));
}

#[tokio::test(start_paused = true)]
async fn a_freeze_shorter_than_the_deadline_is_harmless() {
    let bed = Testbed::new();
    let session = bed.session().await;
    bed.clock.jump(TTL / 2);
    assert!(session.is_alive());
    tokio::time::sleep(TTL * 2).await;
    assert!(session.is_alive());
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_came_due_while_the_machine_was_suspended_is_sent_at_once() {
    let bed = Testbed::new();
    let session = bed.session().await;
    // Timers stood still: by them alone the next heartbeat would come a third of the ttl from here, too late.
    bed.clock.jump(TTL * 3 / 4);
    tokio::time::sleep(TTL).await;
    assert_eq!(session.state(), SessionState::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_backend_ended_is_expired() {
    let bed = Testbed::new();
    let session = bed.session().await;
    bed.store.expire_session(session.id());
    assert_eq!(session.ended().await, SessionEnd::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_tells_the_end_without_waiting_for_a_heartbeat() {
    let bed = Testbed::new();
    let session = bed.session().await;
    bed.store.expire_session(session.id());
    let error = session.put(&key("/n"), "1").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::SessionEnded);
    assert_eq!(session.state(), SessionState::Ended(SessionEnd::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_closed_session_leaves_nothing_and_a_late_watch_sees_the_end() {
    let bed = Testbed::new();
    let session = bed.session().await;
    session.put(&key("/n"), "1").await.unwrap();

    session.close().await.unwrap();
    session.close().await.unwrap();

    assert_eq!(bed.client.get(&key("/n")).await.unwrap(), None);
    assert_eq!(bed.store.usage().sessions, 0);
    let mut states = session.states();
    assert_eq!(states.next().await, Some(SessionState::Ended(SessionEnd::Closed)));
    assert_eq!(states.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn close_is_bounded_when_the_store_is_gone() {
    let bed = Testbed::new();
    let session = bed.session().await;
    bed.registry.set_reachable(Reachability::Silent);
    let begun = Instant::now();

    let error = session.close().await.unwrap_err();

    assert_eq!((error.kind(), error.effect()), (&ErrorKind::DeadlineExceeded, Effect::Unknown));
    assert!(begun.elapsed() <= bed.client.options().request_timeout);
    assert_eq!(session.ended().await, SessionEnd::Closed);
}

#[tokio::test(start_paused = true)]
async fn closing_a_presumed_session_frees_its_keys_at_the_backend() {
    let bed = Testbed::new();
    let session = bed.session().await;
    session.put(&key("/n"), "1").await.unwrap();
    bed.clock.jump(TTL);
    session.close().await.unwrap();
    assert_eq!(bed.client.get(&key("/n")).await.unwrap(), None);
    assert_eq!(session.state(), SessionState::Ended(SessionEnd::Presumed));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_closes_the_session() {
    let bed = Testbed::new();
    let session = bed.session().await;
    let clone = session.clone();
    drop(session);
    settle().await;
    assert_eq!(bed.store.usage().sessions, 1);
    drop(clone);
    settle().await;
    assert_eq!(bed.store.usage().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_ttl_out_of_range_is_refused_before_anything_is_sent() {
    let bed = Testbed::new();
    bed.registry.set_reachable(Reachability::Refusing);
    let options = SessionOptions::with_ttl(Duration::from_millis(499));
    let error = bed.client.open_session(options).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (&ErrorKind::InvalidArgument, Effect::NotApplied));
}

#[tokio::test(start_paused = true)]
async fn the_configured_interval_is_used_where_it_is_shorter_than_a_third_of_the_ttl() {
    let bed = Testbed::new();
    let options = crate::ClientOptions { heartbeat_interval: Some(Duration::from_millis(500)), ..Default::default() };
    let client = crate::RegistryClient::with_clock(bed.store.client(), options, bed.clock.clone());
    let session = client.open_session(SessionOptions::with_ttl(TTL)).await.unwrap();

    tokio::time::sleep(TTL - Duration::from_millis(1)).await;

    let remaining = session.deadline().remaining();
    assert!(remaining > TTL - Duration::from_millis(700), "a heartbeat half a second ago: {remaining:?}");
}
