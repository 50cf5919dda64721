//! What a lock guard promises its holder, and everybody else.

use std::time::Duration;

use tokio::time::Instant;

use crate::memory::Reachability;
use crate::testbed::{TTL, Testbed, key, lock_name, settle};
use crate::{Effect, ErrorKind, LockWait, Precondition, PutOptions, SessionEnd, TRANSACTION_LEN_MAX, Transaction};

#[tokio::test(start_paused = true)]
async fn a_held_lock_is_refused_to_everybody_else_and_to_the_same_session() {
    let bed = Testbed::new();
    let (first, second) = (bed.session().await, bed.other_session().await);
    let guard = first.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    for session in [&first, &second] {
        let error = session.lock(&lock_name("/l"), LockWait::Try).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (&ErrorKind::LockTimeout, Effect::NotApplied));
    }
    guard.release().await.unwrap();
    assert!(second.lock(&lock_name("/l"), LockWait::Try).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_order_under_growing_tokens() {
    let bed = Testbed::new();
    let first = bed.session().await;
    let guard = first.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    let (served, mut order) = tokio::sync::mpsc::channel(8);
    for number in 0..4 {
        let (session, served) = (bed.other_session().await, served.clone());
        tokio::spawn(async move {
            let guard = session.lock(&lock_name("/l"), LockWait::Forever).await.unwrap();
            served.send((number, guard.token())).await.unwrap();
            guard.release().await.unwrap();
        });
        settle().await;
    }
    let mut before = guard.token();
    drop(guard);
    for expected in 0..4 {
        let (number, token) = order.recv().await.unwrap();
        assert_eq!(number, expected);
        assert!(token > before);
        before = token;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_runs_out_leaves_nothing_behind() {
    let bed = Testbed::new();
    let (first, second) = (bed.session().await, bed.other_session().await);
    let guard = first.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    let begun = Instant::now();

    let error = second.lock(&lock_name("/l"), LockWait::AtMost(Duration::from_secs(2))).await.unwrap_err();

    assert_eq!(*error.kind(), ErrorKind::LockTimeout);
    assert_eq!(begun.elapsed().as_secs(), 2);
    assert_eq!(bed.store.usage().waiters, 0);
    guard.release().await.unwrap();
    assert_eq!(bed.store.usage().locks, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_leaves_the_queue_and_a_dropped_grant_is_given_back() {
    let bed = Testbed::new();
    let (first, second) = (bed.session().await, bed.other_session().await);
    let guard = first.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    let name = lock_name("/l");
    let waiting = second.lock(&name, LockWait::Forever);
    let mut waiting = Box::pin(waiting);
    assert!(futures::poll!(&mut waiting).is_pending());
    assert_eq!(bed.store.usage().waiters, 1);

    // Granted while nobody polls, then dropped.
    guard.release().await.unwrap();
    assert_eq!(bed.store.usage().locks, 1);
    drop(waiting);

    assert_eq!((bed.store.usage().locks, bed.store.usage().waiters), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_whose_session_ends_is_refused_and_never_gets_a_guard() {
    let bed = Testbed::new();
    let (first, second) = (bed.session().await, bed.other_session().await);
    let guard = first.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    let waiting = tokio::spawn({
        let second = second.clone();
        async move { second.lock(&lock_name("/l"), LockWait::Forever).await.map(drop) }
    });
    settle().await;

    bed.store.expire_session(second.id());

    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::SessionEnded);
    guard.release().await.unwrap();
    assert_eq!(bed.store.usage().locks, 0);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_cut_off_gives_up_with_its_session() {
    let bed = Testbed::new();
    let holder = bed.other_session().await;
    let guard = holder.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    let waiter = bed.session().await;
    let waiting = tokio::spawn({
        let waiter = waiter.clone();
        async move { waiter.lock(&lock_name("/l"), LockWait::Forever).await.map(drop) }
    });
    settle().await;
    bed.registry.set_reachable(Reachability::Silent);
    assert_eq!(waiter.ended().await, SessionEnd::Presumed);
    let ended = Instant::now();

    let error = waiting.await.unwrap().unwrap_err();

    assert_eq!((error.kind(), error.effect()), (&ErrorKind::SessionEnded, Effect::Unknown));
    assert_eq!(ended.elapsed(), Duration::ZERO);
    assert_eq!(bed.store.usage().waiters, 0);
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn the_holder_knows_of_the_loss_before_the_next_one_holds_the_lock() {
    let bed = Testbed::new();
    let (first, second) = (bed.session().await, bed.other_session().await);
    let guard = first.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    let next = tokio::spawn(async move {
        let guard = second.lock(&lock_name("/l"), LockWait::Forever).await.unwrap();
        (Instant::now(), guard)
    });
    bed.registry.set_reachable(Reachability::Silent);

    guard.lost().await;
    let lost = Instant::now();
    assert_eq!(*guard.check().unwrap_err().kind(), ErrorKind::LockLost);
    let (acquired, next) = next.await.unwrap();

    assert!(lost < acquired, "lost {:?} before", acquired - lost);
    assert!(next.token() > guard.token());
}

#[tokio::test(start_paused = true)]
async fn a_guarded_write_of_a_former_holder_is_refused_by_the_store_too() {
    let bed = Testbed::new();
    let session = bed.session().await;
    let guard = session.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    guard.put(&key("/k"), "mine").await.unwrap();
    // Behind the back of the holder, who has no way to know yet.
    bed.store.expire_session(session.id());
    assert!(guard.check().is_ok());

    let error = guard.put(&key("/k"), "stale").await.unwrap_err();

    assert_eq!((error.kind(), error.effect()), (&ErrorKind::LockLost, Effect::NotApplied));
    assert_eq!(bed.client.get(&key("/k")).await.unwrap().unwrap().value, "mine");
    assert!(guard.check().is_err(), "the refusal is remembered");
    guard.lost().await;
}

#[tokio::test(start_paused = true)]
async fn guarded_writes_keep_the_preconditions_of_the_caller() {
    let bed = Testbed::new();
    let session = bed.session().await;
    let guard = session.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    let absent = || PutOptions::default().when(Precondition::Absent);
    let first = guard.put_with(&key("/k"), "1", absent()).await.unwrap();
    let error = guard.put_with(&key("/k"), "2", absent()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::PreconditionFailed);
    assert!(guard.check().is_ok(), "a failed precondition is not a lost lock");
    guard.put_with(&key("/k"), "3", PutOptions::default().when(Precondition::At(first))).await.unwrap();
    assert_eq!(guard.delete(&key("/k")).await.unwrap().count, 1);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_without_room_for_the_check_of_the_lock_is_refused() {
    let bed = Testbed::new();
    let session = bed.session().await;
    let guard = session.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    let puts =
        (0..TRANSACTION_LEN_MAX).fold(Transaction::builder(), |all, number| all.put(key(&format!("/{number}")), ""));
    let error = guard.commit(puts.build().unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (&ErrorKind::InvalidArgument, Effect::NotApplied));
}

#[tokio::test(start_paused = true)]
async fn a_guard_dropped_while_the_store_is_away_is_released_when_it_is_back() {
    let bed = Testbed::new();
    let session = bed.session().await;
    let guard = session.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    bed.registry.set_reachable(Reachability::Refusing);
    drop(guard);
    settle().await;
    assert_eq!(bed.store.usage().locks, 1);

    bed.registry.set_reachable(Reachability::Reachable);
    tokio::time::sleep(Duration::from_secs(6)).await;

    assert_eq!(bed.store.usage().locks, 0);
    assert!(session.is_alive());
}

#[tokio::test(start_paused = true)]
async fn a_release_that_failed_goes_on_in_the_background() {
    let bed = Testbed::new();
    let session = bed.session().await;
    let guard = session.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    bed.registry.set_reachable(Reachability::Refusing);
    assert_eq!(*guard.release().await.unwrap_err().kind(), ErrorKind::Unavailable);
    bed.registry.set_reachable(Reachability::Reachable);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(bed.store.usage().locks, 0);
}

#[tokio::test(start_paused = true)]
async fn a_guard_keeps_its_session_and_a_closed_session_takes_the_lock_with_it() {
    let bed = Testbed::new();
    let session = bed.session().await;
    let guard = session.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    let owner = session.clone();
    drop(session);
    tokio::time::sleep(TTL * 3).await;
    assert!(guard.check().is_ok());

    owner.close().await.unwrap();

    assert_eq!(owner.ended().await, SessionEnd::Closed);
    assert_eq!(*guard.release().await.unwrap_err().kind(), ErrorKind::LockLost);
    assert_eq!(bed.store.usage().locks, 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_freeze_check_refuses_at_the_first_look() {
    let bed = Testbed::new();
    let session = bed.session().await;
    let guard = session.lock(&lock_name("/l"), LockWait::Try).await.unwrap();
    bed.clock.jump(TTL);
    assert_eq!(*guard.check().unwrap_err().kind(), ErrorKind::LockLost);
}
