//! Lock guards: what the holder knows, and what its writes may do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future;
use rand::Rng;
use registry_api::{
    Effect, ErrorKind, FencingToken, LockWait, RegistryClient, SessionEnd, SessionOptions, Transaction,
};

use super::keys::{absent, present};
use super::lock::{acquire, queued, waiting};
use crate::Guarantee::{G4, G7, G8, G9, G11, G15};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::refused;
use crate::{Broken, Case, Context, Outcome};

pub(super) fn cases() -> Vec<Case> {
    cases!["guard";
        it_writes_while_it_holds => [G9];
        its_writes_are_refused_after_the_lock_was_lost => [G9, G15];
        the_former_holder_cannot_write_when_it_comes_back => [G9, G7];
        dropping_it_releases_the_lock => [G11];
        releasing_it_says_so => [G8];
        a_lost_lock_is_reported => [G7];
        the_holder_knows_before_the_next_one_holds => [G7, G8];
        a_killed_holder_is_followed_inside_the_bound => [G4, G8];
        it_is_held_for_ten_times_the_ttl_by_a_living_session => [G8, G4];
        a_waiter_whose_session_expires_gets_no_guard => [G8];
        fifty_clients_and_random_deaths_never_hold_it_together => [G8, G9];
    ]
}

async fn it_writes_while_it_holds(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = client.open_session(SessionOptions::with_ttl(context.timing().long_ttl)).await?;
    let guard = session.lock(&context.lock("l")?, LockWait::Try).await?;
    guard.check()?;
    let (a, b) = (context.key("a")?, context.key("b")?);
    guard.put(&a, "1").await?;
    guard.commit(Transaction::builder().put(a.clone(), "2").put(b.clone(), "2").build()?).await?;
    guard.delete(&b).await?;
    ensure_eq!(G9, present(&client, &a, G9).await?.value, Bytes::from("2"), "what the holder wrote");
    absent(&client, &b, G9).await?;
    Ok(guard.release().await?)
}

async fn its_writes_are_refused_after_the_lock_was_lost(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let session = client.open_session(SessionOptions::with_ttl(context.timing().long_ttl)).await?;
    let guard = session.lock(&context.lock("l")?, LockWait::Try).await?;
    let key = context.key("a")?;
    guard.put(&key, "held").await?;
    // The holder is not told: a guarded write finds out by itself.
    other.registry().close_session(session.id()).await?;
    refused(G9, "a guarded put", guard.put(&key, "lost").await, &ErrorKind::LockLost)?;
    refused(G9, "a guarded delete", guard.delete(&key).await, &ErrorKind::LockLost)?;
    let transaction = Transaction::builder().put(key.clone(), "lost").build()?;
    refused(G9, "a guarded transaction", guard.commit(transaction).await, &ErrorKind::LockLost)?;
    ensure!(G7, guard.check().is_err(), "a guard whose write was refused says that it holds");
    ensure_eq!(G9, present(&client, &key, G9).await?.value, Bytes::from("held"), "the value after the refusals");
    Ok(())
}

async fn the_former_holder_cannot_write_when_it_comes_back(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    let session = client.open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?;
    let name = context.lock("l")?;
    let key = context.key("a")?;
    let guard = session.lock(&name, LockWait::Try).await?;
    guard.put(&key, "old holder").await?;
    let mut next = waiting(&other, &name, context.long_session(&other).await?);
    cable.cut();
    let grant = next.granted(&context).await??;
    ensure!(G9, grant.token > guard.token(), "the token {} follows {}", grant.token, guard.token());
    other.put_with(&key, "new holder", registry_api::PutOptions::default()).await?;
    cable.mend();
    refused(G9, "a write of the former holder", guard.put(&key, "too late").await, &ErrorKind::LockLost)?;
    let precondition = registry_api::Precondition::LockHeld(guard.grant().clone());
    let raw = client.put_with(&key, "too late", registry_api::PutOptions::default().when(precondition)).await;
    refused(G9, "a write under the former grant", raw, &ErrorKind::LockLost)?;
    ensure_eq!(G9, present(&other, &key, G9).await?.value, Bytes::from("new holder"), "the value after the refusals");
    Ok(())
}

async fn dropping_it_releases_the_lock(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let session = client.open_session(SessionOptions::with_ttl(context.timing().long_ttl)).await?;
    let name = context.lock("l")?;
    let guard = session.lock(&name, LockWait::Try).await?;
    let mut next = waiting(&other, &name, context.long_session(&other).await?);
    queued(&context, &other, &name, 1).await?;
    drop(guard);
    next.granted(&context).await??;
    ensure!(G11, session.is_alive(), "the session ended with the guard");
    Ok(session.close().await?)
}

async fn releasing_it_says_so(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = client.open_session(SessionOptions::with_ttl(context.timing().long_ttl)).await?;
    let name = context.lock("l")?;
    let guard = session.lock(&name, LockWait::Try).await?;
    guard.release().await?;
    ensure_eq!(G8, client.inspect_lock(&name).await?.holder, None, "the holder after the release");
    let lost = session.lock(&name, LockWait::Try).await?;
    client.registry().close_session(session.id()).await?;
    refused(G15, "the release of a lost lock", lost.release().await, &ErrorKind::LockLost).map(drop)
}

async fn a_lost_lock_is_reported(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let session = client.open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?;
    let guard = session.lock(&context.lock("l")?, LockWait::Try).await?;
    other.registry().close_session(session.id()).await?;
    context.soon("the report of the loss", guard.lost()).await?;
    ensure!(G7, guard.check().is_err(), "a guard that reported its loss says that it holds");
    ensure_eq!(G7, session.ended().await, SessionEnd::Expired, "how the session ended");
    Ok(())
}

async fn the_holder_knows_before_the_next_one_holds(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    for round in 0..3 {
        let session = client.open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?;
        let name = context.lock(&round.to_string())?;
        let guard = session.lock(&name, LockWait::Try).await?;
        let mut next = waiting(&other, &name, context.long_session(&other).await?);
        queued(&context, &other, &name, 1).await?;
        cable.cut();
        next.granted(&context).await??;
        ensure!(G7, guard.check().is_err(), "the lock has its next holder, and the former believes in it");
        context.soon("the report of the loss", guard.lost()).await?;
        cable.mend();
    }
    Ok(())
}

async fn a_killed_holder_is_followed_inside_the_bound(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    let session = client.open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?;
    let name = context.lock("l")?;
    let guard = session.lock(&name, LockWait::Try).await?;
    let mut next = waiting(&other, &name, context.long_session(&other).await?);
    queued(&context, &other, &name, 1).await?;
    cable.cut();
    let cut = tokio::time::Instant::now();
    let promised = session.deadline().remaining();
    next.granted(&context).await??;
    let (took, ttl) = (cut.elapsed(), session.ttl());
    let bound = context.timing().late_bound + context.slack_since(cut);
    ensure!(G4, took >= promised, "the lock of a killed holder was free after {took:?}; it was promised {promised:?}");
    ensure!(
        G4,
        took <= ttl + bound,
        "the lock of a killed holder was free after {took:?}; ttl {ttl:?}, bound {bound:?}"
    );
    drop(guard);
    Ok(())
}

async fn it_is_held_for_ten_times_the_ttl_by_a_living_session(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let ttl = registry_api::SESSION_TTL_MIN.max(context.timing().session_ttl / 2);
    let session = client.open_session(SessionOptions::with_ttl(ttl)).await?;
    let name = context.lock("l")?;
    let guard = session.lock(&name, LockWait::Try).await?;
    let rival = waiting(&other, &name, context.long_session(&other).await?);
    queued(&context, &other, &name, 1).await?;
    for round in 0..10 {
        context.one_ttl_passes(&other, session.ttl(), &round.to_string()).await?;
    }
    guard.check()?;
    let holder = other.inspect_lock(&name).await?.holder;
    ensure_eq!(G8, holder.as_ref(), Some(guard.grant()), "the holder after ten times its ttl");
    drop(rival);
    Ok(guard.release().await?)
}

async fn a_waiter_whose_session_expires_gets_no_guard(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    let name = context.lock("l")?;
    let holder = acquire(&other, &name, context.long_session(&other).await?, LockWait::Try).await?;
    let session = client.open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?;
    let waiter = tokio::spawn({
        let (session, name) = (session.clone(), name.clone());
        async move { session.lock(&name, LockWait::Forever).await.map(drop) }
    });
    queued(&context, &other, &name, 1).await?;
    cable.cut();
    queued(&context, &other, &name, 0).await?;
    other.registry().release(&holder).await?;
    cable.mend();
    match context.soon("the end of the wait", waiter).await?.map_err(Broken::harness)? {
        Ok(()) => Err(Broken::new(G8, "a session that expired while it waited was given the lock")),
        Err(error) => {
            ensure!(G15, error.kind() == &ErrorKind::SessionEnded || error.effect() == Effect::Unknown, "{error:?}");
            ensure_eq!(G8, other.inspect_lock(&name).await?.holder, None, "the holder in the end");
            Ok(())
        }
    }
}

/// A store outside of the registry that refuses tokens smaller than the largest it has seen.
#[derive(Debug, Default)]
struct FencedStore {
    state: Mutex<(Option<FencingToken>, u64)>,
    refused: AtomicU64,
}

impl FencedStore {
    /// Adds one, unless a later holder was here already.
    fn add(&self, token: FencingToken) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|largest| token < largest) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        *state = (Some(token), state.1 + 1);
        true
    }
}

async fn fifty_clients_and_random_deaths_never_hold_it_together(context: Context) -> Outcome {
    const CLIENTS: u64 = 50;
    let store = Arc::new(FencedStore::default());
    let holders = Arc::new(AtomicU64::new(0));
    let clients = (0..CLIENTS).map(|number| contend(&context, number, Arc::clone(&store), Arc::clone(&holders)));
    let added: u64 = future::try_join_all(clients).await?.into_iter().sum();
    let stored = store.state.lock().unwrap_or_else(PoisonError::into_inner).1;
    ensure_eq!(G9, stored, added, "the count in the fenced store");
    ensure!(G8, added >= CLIENTS, "fifty clients held the lock {added} times in all");
    Ok(())
}

/// One client: takes the lock, counts, and dies sometimes, with or without giving the session up.
async fn contend(context: &Context, number: u64, store: Arc<FencedStore>, holders: Arc<AtomicU64>) -> Outcome<u64> {
    let name = context.lock("l")?;
    let client: RegistryClient = context.client().await?;
    let mut random = context.random(number);
    let mut added = 0;
    while added < 2 {
        let session = context.long_session(&client).await?;
        let dies_waiting = random.random_bool(0.1);
        if dies_waiting {
            let abandoned = waiting(&client, &name, session);
            client.registry().close_session(session).await?;
            drop(abandoned);
            continue;
        }
        let grant = context.soon("the lock", acquire(&client, &name, session, LockWait::Forever)).await??;
        let before = holders.fetch_add(1, Ordering::SeqCst);
        ensure_eq!(G8, before, 0, "how many others hold the lock that was granted to {session}");
        tokio::task::yield_now().await;
        if !store.add(grant.token) {
            return Err(Broken::new(G9, format!("the token {} of the holder is not the largest", grant.token)));
        }
        added += 1;
        holders.fetch_sub(1, Ordering::SeqCst);
        if random.random_bool(0.5) {
            client.registry().release(&grant).await?;
        }
        client.registry().close_session(session).await?;
    }
    Ok(added)
}
