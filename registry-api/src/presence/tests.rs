//! What a presence promises its process, and those who watch it.

use std::time::Duration;

use crate::memory::Reachability;
use crate::testbed::{TTL, Testbed, key, settle};
use crate::{
    ErrorKind, Event, Presence, PresenceOptions, PresenceRecord, PresenceState, PutOptions, Scope, SessionOptions,
    Subscription,
};

fn options() -> PresenceOptions {
    PresenceOptions { session: SessionOptions::with_ttl(TTL), ..PresenceOptions::at(key("/workers/1")) }
}

async fn watch(bed: &Testbed) -> Subscription {
    let mut events = bed.other_client().subscribe(&Scope::Children(key("/workers"))).await.unwrap();
    events.next().await.unwrap().unwrap();
    events
}

/// The record of the next event, which has to be a put.
async fn next_put(events: &mut Subscription) -> PresenceRecord {
    match events.next().await.unwrap().unwrap() {
        Event::Put { entry, .. } => PresenceRecord::decode(&entry.value).unwrap(),
        other => panic!("a put was expected, not {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn reports_are_puts_of_the_same_incarnation_and_quick_ones_are_told_as_the_last() {
    let bed = Testbed::new();
    let mut events = watch(&bed).await;
    let presence = Presence::announce(&bed.client, options(), "0").await.unwrap();
    presence.report("1").unwrap();
    presence.report("2").unwrap();

    let (first, second) = (next_put(&mut events).await, next_put(&mut events).await);

    assert_eq!((first.incarnation, &first.payload[..]), (presence.incarnation(), &b"0"[..]));
    assert_eq!((second.incarnation, &second.payload[..]), (presence.incarnation(), &b"2"[..]));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_nothing_changes_unless_a_refresh_is_asked_for() {
    let bed = Testbed::new();
    let quiet = Presence::announce(&bed.client, options(), "0").await.unwrap();
    let before = bed.client.get(quiet.key()).await.unwrap().unwrap().modified;
    quiet.report("0").unwrap();
    tokio::time::sleep(TTL * 5).await;
    assert_eq!(bed.client.get(quiet.key()).await.unwrap().unwrap().modified, before);
    quiet.withdraw().await.unwrap();

    let mut events = watch(&bed).await;
    let options = PresenceOptions { refresh_interval: Some(Duration::from_secs(7)), ..options() };
    let presence = Presence::announce(&bed.client, options, "0").await.unwrap();
    next_put(&mut events).await;
    let begun = tokio::time::Instant::now();
    next_put(&mut events).await;
    assert_eq!(begun.elapsed().as_secs(), 7);
    drop(presence);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_without_a_pause_is_refused() {
    let bed = Testbed::new();
    let options = PresenceOptions { refresh_interval: Some(Duration::ZERO), ..options() };
    let error = Presence::announce(&bed.client, options, "0").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn after_a_loss_it_takes_its_own_key_over_once_and_nobody_sees_a_delete() {
    let bed = Testbed::new();
    let mut events = watch(&bed).await;
    let presence = Presence::announce(&bed.client, options(), "0").await.unwrap();
    let old = presence.session().id();
    next_put(&mut events).await;
    let mut states = presence.states();
    assert!(matches!(states.next().await, Some(PresenceState::Registered { session, .. }) if session == old));

    // The process was frozen; the store still believes in its session.
    bed.clock.jump(TTL);

    assert_eq!(presence.state(), PresenceState::Lost);
    assert_eq!(states.next().await, Some(PresenceState::Lost));
    let Some(PresenceState::Registered { session, .. }) = states.next().await else { panic!("registered again") };
    assert_ne!(session, old);
    assert_eq!(next_put(&mut events).await.incarnation, presence.incarnation());
    tokio::time::sleep(TTL * 3).await;
    settle().await;
    presence.report("1").unwrap();
    let next = next_put(&mut events).await;
    assert_eq!(&next.payload[..], b"1", "neither a delete nor another registration came in between");
}

#[tokio::test(start_paused = true)]
async fn after_an_expiry_it_registers_again_once() {
    let bed = Testbed::new();
    let mut events = watch(&bed).await;
    let presence = Presence::announce(&bed.client, options(), "0").await.unwrap();
    next_put(&mut events).await;
    bed.registry.set_reachable(Reachability::Silent);
    assert!(matches!(events.next().await.unwrap().unwrap(), Event::Delete { .. }));
    assert_eq!(presence.state(), PresenceState::Lost);

    bed.registry.set_reachable(Reachability::Reachable);

    assert_eq!(next_put(&mut events).await.incarnation, presence.incarnation());
    presence.withdraw().await.unwrap();
    assert!(matches!(events.next().await.unwrap().unwrap(), Event::Delete { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_does_not_make_a_second_registration() {
    let bed = Testbed::new();
    let presence = Presence::announce(&bed.client, options(), "0").await.unwrap();
    let mut events = watch(&bed).await;
    bed.registry.set_reachable(Reachability::AnswersLost);
    presence.report("1").unwrap();
    assert_eq!(&next_put(&mut events).await.payload[..], b"1");
    bed.registry.set_reachable(Reachability::Reachable);
    tokio::time::sleep(TTL).await;
    assert!(matches!(presence.state(), PresenceState::Registered { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_key_of_somebody_else_is_refused_at_first_and_reported_later() {
    let bed = Testbed::new();
    let other = bed.other_session().await;
    other.put(&key("/workers/1"), "theirs").await.unwrap();
    let error = Presence::announce(&bed.client, options(), "0").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::OwnedByAnother { owner: other.id() });
    settle().await;
    assert_eq!(bed.store.usage().sessions, 1, "the refused announcement left no session");

    other.close().await.unwrap();
    let presence = Presence::announce(&bed.client, options(), "0").await.unwrap();
    let usurper = bed.other_session().await;
    usurper.put_with(&key("/workers/1"), "theirs", PutOptions::default().taking_over()).await.unwrap();
    let mut states = presence.states();
    states.next().await;
    presence.report("1").unwrap();

    assert_eq!(states.next().await, Some(PresenceState::Conflict { owner: Some(usurper.id()) }));
    assert_eq!(bed.client.get(&key("/workers/1")).await.unwrap().unwrap().value, "theirs");
    usurper.close().await.unwrap();
    assert!(matches!(states.next().await, Some(PresenceState::Registered { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_registration_is_put_again_with_the_next_report() {
    let bed = Testbed::new();
    let presence = Presence::announce(&bed.client, options(), "0").await.unwrap();
    bed.client.delete(presence.key()).await.unwrap();
    presence.report("1").unwrap();
    settle().await;
    let entry = bed.client.get(presence.key()).await.unwrap().unwrap();
    assert_eq!(entry.owner, Some(presence.session().id()));
}

#[tokio::test(start_paused = true)]
async fn withdrawing_and_dropping_leave_nothing() {
    let bed = Testbed::new();
    let presence = Presence::announce(&bed.client, options(), "0").await.unwrap();
    let states = presence.states();
    presence.withdraw().await.unwrap();
    assert_eq!(states.state(), PresenceState::Withdrawn);
    assert_eq!((bed.store.usage().keys, bed.store.usage().sessions), (0, 0));

    drop(Presence::announce(&bed.client, options(), "0").await.unwrap());
    settle().await;
    assert_eq!((bed.store.usage().keys, bed.store.usage().sessions), (0, 0));
}
