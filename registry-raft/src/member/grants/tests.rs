//! Waiting for a lock: every end of the wait is seen, whenever it happens.

use std::time::Duration;

use super::*;
use crate::member::quorum_fake::Bench;
use crate::proto::command::Command;

const PATIENCE: Duration = Duration::from_secs(10);

fn acquire(session: u64, ticket: u64) -> Command {
    Command::Acquire(proto::Acquire { name: "/lock".to_owned(), session, only_if_free: false, ticket })
}

fn request(session: u64, ticket: u64) -> proto::AwaitGrant {
    proto::AwaitGrant { name: "/lock".to_owned(), session, ticket, at_least: None }
}

async fn wait(bench: &Bench, session: u64, ticket: u64) -> Result<proto::LockGrant, proto::Failure> {
    let waited = bench.grants.wait(&request(session, ticket), Instant::now() + PATIENCE).await;
    waited.map_err(|failed| match failed {
        Failed::Refused(refusal) => refusal.failure(),
        other => panic!("{other:?}"),
    })
}

/// Runs `change` when the wait has begun; the outcome of the wait.
async fn wait_through(
    bench: &Bench,
    (session, ticket): (u64, u64),
    change: Command,
) -> Result<proto::LockGrant, proto::Failure> {
    let mut waiting = std::pin::pin!(wait(bench, session, ticket));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    bench.quorum.apply([change]);
    let waited = waiting.await;
    assert!(bench.grants.lock().wakes.is_empty(), "a wait that is over leaves nothing");
    waited
}

fn held_and_queued() -> (Bench, u64, u64) {
    let bench = Bench::new();
    let (holder, waiter) = (bench.open_session(10_000), bench.open_session(10_000));
    bench.quorum.apply([acquire(holder, 1), acquire(waiter, 1)]);
    (bench, holder, waiter)
}

#[tokio::test]
async fn a_grant_is_answered_also_when_it_was_made_before_the_wait() {
    let (bench, holder, _) = held_and_queued();
    assert_eq!(wait(&bench, holder, 1).await.unwrap().session, holder);
}

#[tokio::test]
async fn a_release_grants_the_first_in_the_queue() {
    let (bench, holder, waiter) = held_and_queued();
    let grant = wait(&bench, holder, 1).await.unwrap();
    let release = Command::Release(proto::Release { grant: Some(grant.clone()) });
    let granted = wait_through(&bench, (waiter, 1), release).await.unwrap();
    assert_eq!(granted.session, waiter);
    assert!(registry_api::Revision::from(granted.token.unwrap()) > grant.token.unwrap().into());
}

#[tokio::test]
async fn the_end_of_the_holder_grants_and_the_end_of_the_waiter_refuses() {
    let end = |session| Command::EndSession(proto::EndSession { session, certificate: None });
    let (bench, holder, waiter) = held_and_queued();
    assert_eq!(wait_through(&bench, (waiter, 1), end(holder)).await.unwrap().session, waiter);
    let (bench, _, waiter) = held_and_queued();
    assert_eq!(wait_through(&bench, (waiter, 1), end(waiter)).await.unwrap_err(), proto::Failure::SessionEnded);
}

#[tokio::test]
async fn a_place_that_was_given_up_is_told() {
    let (bench, _, waiter) = held_and_queued();
    let abandon = Command::Abandon(proto::Abandon { name: "/lock".to_owned(), session: waiter, ticket: 1 });
    assert_eq!(wait_through(&bench, (waiter, 1), abandon).await.unwrap_err(), proto::Failure::LockLost);
}

#[tokio::test]
async fn a_snapshot_that_holds_the_grant_ends_the_wait() {
    let (bench, holder, waiter) = held_and_queued();
    let mut waiting = std::pin::pin!(wait(&bench, waiter, 1));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    bench.quorum.install([Command::EndSession(proto::EndSession { session: holder, certificate: None })]);
    assert_eq!(waiting.await.unwrap().session, waiter);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline_and_a_dropped_one_leaves_nothing() {
    let (bench, _, waiter) = held_and_queued();
    assert_eq!(wait(&bench, waiter, 1).await.unwrap_err(), proto::Failure::DeadlineExceeded);
    {
        let mut waiting = std::pin::pin!(wait(&bench, waiter, 1));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
    }
    assert!(bench.grants.lock().wakes.is_empty());
}
