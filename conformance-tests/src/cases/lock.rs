//! Locks: one holder, fair queues, growing tokens, nothing left behind.

mod names;

use futures::{FutureExt, future};
use registry_api::{
    Error, ErrorKind, FencingToken, LockGrant, LockName, LockRequest, LockStatus, LockWait, RegistryClient, SessionId,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::names::{
    a_lock_that_nobody_asked_for_is_free, lock_names_are_no_keys, locks_with_a_common_beginning_are_distinct,
    many_locks_of_one_session_are_independent,
};
use crate::Guarantee::{G6, G8, G9, G10, G11, G15};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::refused;
use crate::{Broken, Case, Context, Outcome};

/// How many wait for one lock in the large queue.
const CROWD: usize = 1000;

pub(super) fn cases() -> Vec<Case> {
    cases!["lock";
        a_free_lock_is_granted_at_once => [G8];
        a_held_lock_is_refused_to_those_who_do_not_wait => [G8, G15];
        a_release_hands_it_to_the_next => [G8, G10];
        waiters_are_served_in_order => [G10];
        of_a_thousand_waiters_one_wakes_up => [G10, G18];
        a_request_that_times_out_leaves_nothing => [G11, G15];
        a_request_that_is_dropped_leaves_nothing => [G11];
        a_grant_that_nobody_waits_for_any_more_is_given_back => [G11];
        the_same_session_waits_like_any_other => [G8];
        two_sessions_of_one_client_are_two_owners => [G8];
        closing_the_session_frees_it => [G11, G8];
        closing_the_session_of_a_waiter_ends_its_wait => [G6, G11];
        a_session_that_has_ended_gets_no_lock => [G6, G15];
        tokens_grow_with_every_grant => [G9];
        tokens_grow_over_the_end_of_the_holder_and_of_the_queue => [G9];
        releasing_twice_succeeds => [G15];
        releasing_a_lost_lock_is_an_error => [G15];
        an_old_grant_does_not_release_a_newer_one => [G8];
        a_status_names_the_holder_and_the_waiters_in_order => [G10];
        a_lock_that_nobody_asked_for_is_free => [G8];
        lock_names_are_no_keys => [G8];
        locks_with_a_common_beginning_are_distinct => [G8];
        many_locks_of_one_session_are_independent => [G8];
    ]
}

pub(super) fn request(name: &LockName, session: SessionId, wait: LockWait) -> LockRequest {
    LockRequest { name: name.clone(), session, wait }
}

pub(super) async fn acquire(
    client: &RegistryClient,
    name: &LockName,
    session: SessionId,
    wait: LockWait,
) -> Result<LockGrant, Error> {
    client.registry().acquire(request(name, session, wait)).await
}

/// A request that waits in a task of its own; aborting the task drops the request.
pub(super) fn waiting(client: &RegistryClient, name: &LockName, session: SessionId) -> Waiting {
    let (registry, request) = (client.registry().clone(), request(name, session, LockWait::Forever));
    Waiting(tokio::spawn(async move { registry.acquire(request).await }))
}

/// Dropping it drops the request.
pub(super) struct Waiting(JoinHandle<Result<LockGrant, Error>>);

impl Waiting {
    pub(super) async fn granted(&mut self, context: &Context) -> Outcome<Result<LockGrant, Error>> {
        context.soon("the answer to a lock request", &mut self.0).await?.map_err(Broken::harness)
    }

    fn is_answered(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until so many requests are in the queue.
pub(super) async fn queued(
    context: &Context,
    client: &RegistryClient,
    name: &LockName,
    count: usize,
) -> Outcome<LockStatus> {
    let look = || client.inspect_lock(name).map(|status| Ok(status?));
    context.eventually(G11, &format!("{count} waiters of {name}"), look, |status| status.waiters.len() == count).await
}

async fn sessions(context: &Context, client: &RegistryClient, count: usize) -> Outcome<Vec<SessionId>> {
    future::try_join_all((0..count).map(|_| context.long_session(client))).await
}

async fn two(context: &Context) -> Outcome<(RegistryClient, LockName, SessionId, SessionId)> {
    let client = context.client().await?;
    let (one, other) = (context.long_session(&client).await?, context.long_session(&client).await?);
    Ok((client, context.lock("l")?, one, other))
}

async fn a_free_lock_is_granted_at_once(context: Context) -> Outcome {
    let (client, name, session, _) = two(&context).await?;
    let grant = acquire(&client, &name, session, LockWait::Try).await?;
    ensure_eq!(G8, (&grant.name, grant.session), (&name, session), "the lock and the session of the grant");
    ensure_eq!(G8, client.inspect_lock(&name).await?.holder, Some(grant.clone()), "the holder");
    client.registry().release(&grant).await?;
    ensure_eq!(G8, client.inspect_lock(&name).await?.holder, None, "the holder after the release");
    Ok(())
}

async fn a_held_lock_is_refused_to_those_who_do_not_wait(context: Context) -> Outcome {
    let (client, name, one, other) = two(&context).await?;
    let grant = acquire(&client, &name, one, LockWait::Try).await?;
    let far = context.client().await?;
    for (client, session) in [(&client, other), (&far, context.long_session(&far).await?)] {
        let result = acquire(client, &name, session, LockWait::Try).await;
        refused(G8, "a lock that is held", result, &ErrorKind::LockTimeout)?;
    }
    let status = client.inspect_lock(&name).await?;
    ensure_eq!(G8, (status.holder, status.waiters), (Some(grant), vec![]), "holder and waiters after the refusals");
    Ok(())
}

async fn a_release_hands_it_to_the_next(context: Context) -> Outcome {
    let (client, name, one, other) = two(&context).await?;
    let first = acquire(&client, &name, one, LockWait::Try).await?;
    let mut next = waiting(&client, &name, other);
    queued(&context, &client, &name, 1).await?;
    ensure!(G8, !next.is_answered(), "a waiter was answered while the lock was held");
    client.registry().release(&first).await?;
    let second = next.granted(&context).await??;
    ensure_eq!(G8, client.inspect_lock(&name).await?.holder, Some(second.clone()), "the holder after the release");
    ensure!(G9, second.token > first.token, "the token {} follows {}", second.token, first.token);
    Ok(())
}

async fn waiters_are_served_in_order(context: Context) -> Outcome {
    let clients = [context.client().await?, context.client().await?, context.client().await?];
    let [client, ..] = &clients;
    let name = context.lock("l")?;
    let mut holder = acquire(client, &name, context.long_session(client).await?, LockWait::Try).await?;
    let mut waiters = Vec::new();
    for (number, client) in clients.iter().cycle().take(12).enumerate() {
        let session = context.long_session(client).await?;
        waiters.push((session, waiting(client, &name, session)));
        queued(&context, client, &name, number + 1).await?;
    }
    for (number, (session, mut waiter)) in waiters.into_iter().enumerate() {
        client.registry().release(&holder).await?;
        let status = client.inspect_lock(&name).await?;
        let now = status.holder.map(|grant| grant.session);
        ensure_eq!(G10, now, Some(session), "the holder after {} releases", number + 1);
        holder = waiter.granted(&context).await??;
    }
    Ok(())
}

async fn of_a_thousand_waiters_one_wakes_up(context: Context) -> Outcome {
    let client = context.client().await?;
    let name = context.lock("l")?;
    let session = context.long_session(&client).await?;
    let first = acquire(&client, &name, session, LockWait::Try).await?;
    let waiters: Vec<_> = (0..CROWD).map(|_| waiting(&client, &name, session)).collect();
    queued(&context, &client, &name, CROWD).await?;
    client.registry().release(&first).await?;
    let answered = || future::ready(Ok(waiters.iter().filter(|waiter| waiter.is_answered()).count()));
    context.eventually(G10, "an answered waiter", answered, |count| *count > 0).await?;
    let status = client.inspect_lock(&name).await?;
    ensure_eq!(G10, status.waiters.len(), CROWD - 1, "how many still wait after one release");
    let count = waiters.iter().filter(|waiter| waiter.is_answered()).count();
    ensure_eq!(G10, count, 1, "how many waiters one release woke up");
    client.registry().close_session(session).await?;
    Ok(())
}

async fn a_request_that_times_out_leaves_nothing(context: Context) -> Outcome {
    let (client, name, one, other) = two(&context).await?;
    let first = acquire(&client, &name, one, LockWait::Try).await?;
    let wait = LockWait::AtMost(std::time::Duration::from_millis(50));
    let result = context.soon("the end of a wait of 50 ms", acquire(&client, &name, other, wait)).await?;
    refused(G11, "a lock that is not free in time", result, &ErrorKind::LockTimeout)?;
    ensure_eq!(G11, client.inspect_lock(&name).await?.waiters, [], "the waiters after the only one gave up");
    client.registry().release(&first).await?;
    ensure_eq!(G11, client.inspect_lock(&name).await?.holder, None, "the holder after the release");
    let next = acquire(&client, &name, one, LockWait::Try).await?;
    ensure!(G9, next.token > first.token, "the token {} follows {}", next.token, first.token);
    Ok(())
}

async fn a_request_that_is_dropped_leaves_nothing(context: Context) -> Outcome {
    let (client, name, one, other) = two(&context).await?;
    let third = context.long_session(&client).await?;
    let first = acquire(&client, &name, one, LockWait::Try).await?;
    let dropped = waiting(&client, &name, other);
    queued(&context, &client, &name, 1).await?;
    let mut next = waiting(&client, &name, third);
    queued(&context, &client, &name, 2).await?;
    drop(dropped);
    let status = queued(&context, &client, &name, 1).await?;
    let left: Vec<_> = status.waiters.iter().map(|waiter| waiter.session).collect();
    ensure_eq!(G11, left, [third], "who waits after a request was dropped");
    client.registry().release(&first).await?;
    let grant = next.granted(&context).await??;
    ensure_eq!(G11, client.inspect_lock(&name).await?.holder, Some(grant), "the holder after the release");
    Ok(())
}

async fn a_grant_that_nobody_waits_for_any_more_is_given_back(context: Context) -> Outcome {
    let (client, name, one, other) = two(&context).await?;
    for _ in 0..30 {
        let first = acquire(&client, &name, one, LockWait::Forever).await?;
        let (lose_interest, interest) = oneshot::channel::<()>();
        let (registry, asked) = (client.registry().clone(), request(&name, other, LockWait::Forever));
        let waiter = tokio::spawn(async move {
            tokio::select! {
                _lost = interest => None,
                grant = registry.acquire(asked) => Some((registry, grant)),
            }
        });
        queued(&context, &client, &name, 1).await?;
        // The grant to the waiter and the end of its interest cross each other.
        let (registry, first) = (client.registry().clone(), first.clone());
        let release = tokio::spawn(async move { registry.release(&first).await });
        drop(lose_interest);
        release.await.map_err(Broken::harness)??;
        if let Some((registry, grant)) = waiter.await.map_err(Broken::harness)? {
            registry.release(&grant?).await?;
        }
        let look = || client.inspect_lock(&name).map(|status| Ok(status?));
        let free = |status: &LockStatus| status.holder.is_none() && status.waiters.is_empty();
        context.eventually(G11, "a free lock after its only waiter went away", look, free).await?;
    }
    Ok(())
}

async fn the_same_session_waits_like_any_other(context: Context) -> Outcome {
    let (client, name, one, _) = two(&context).await?;
    let first = acquire(&client, &name, one, LockWait::Try).await?;
    let result = acquire(&client, &name, one, LockWait::Try).await;
    refused(G8, "a second request of the holder", result, &ErrorKind::LockTimeout)?;
    let mut second = waiting(&client, &name, one);
    queued(&context, &client, &name, 1).await?;
    client.registry().release(&first).await?;
    let second = second.granted(&context).await??;
    ensure!(G9, second.token > first.token, "the token {} follows {}", second.token, first.token);
    Ok(())
}

async fn two_sessions_of_one_client_are_two_owners(context: Context) -> Outcome {
    let (client, name, one, other) = two(&context).await?;
    acquire(&client, &name, one, LockWait::Try).await?;
    let result = acquire(&client, &name, other, LockWait::Try).await;
    refused(G8, "the lock for another session of the same client", result, &ErrorKind::LockTimeout).map(drop)
}

async fn closing_the_session_frees_it(context: Context) -> Outcome {
    let (client, name, one, _) = two(&context).await?;
    let far = context.client().await?;
    let other = context.long_session(&far).await?;
    let first = acquire(&client, &name, one, LockWait::Try).await?;
    let mut next = waiting(&far, &name, other);
    queued(&context, &client, &name, 1).await?;
    client.registry().close_session(one).await?;
    let status = client.inspect_lock(&name).await?;
    let holder = status.holder.map(|grant| grant.session);
    ensure_eq!(G11, holder, Some(other), "the holder after the session of the first was closed");
    let second = next.granted(&context).await??;
    ensure!(G9, second.token > first.token, "the token {} follows {}", second.token, first.token);
    Ok(())
}

async fn closing_the_session_of_a_waiter_ends_its_wait(context: Context) -> Outcome {
    let (client, name, one, other) = two(&context).await?;
    let first = acquire(&client, &name, one, LockWait::Try).await?;
    let mut gone = waiting(&client, &name, other);
    queued(&context, &client, &name, 1).await?;
    context.client().await?.registry().close_session(other).await?;
    let result = gone.granted(&context).await?;
    refused(G6, "the lock for a session that ended while it waited", result, &ErrorKind::SessionEnded)?;
    ensure_eq!(
        G11,
        client.inspect_lock(&name).await?.waiters,
        [],
        "the waiters after the session of the only one ended"
    );
    client.registry().release(&first).await?;
    ensure_eq!(G6, client.inspect_lock(&name).await?.holder, None, "the holder after the release");
    Ok(())
}

async fn a_session_that_has_ended_gets_no_lock(context: Context) -> Outcome {
    let (client, name, one, _) = two(&context).await?;
    client.registry().close_session(one).await?;
    for session in [one, SessionId::new(u64::MAX - 1)] {
        for wait in [LockWait::Try, LockWait::Forever] {
            let result = context.soon("the refusal", acquire(&client, &name, session, wait)).await?;
            refused(G6, "a lock for a session that has ended", result, &ErrorKind::SessionEnded)?;
        }
    }
    ensure_eq!(G6, client.inspect_lock(&name).await?.holder, None, "the holder");
    Ok(())
}

async fn tokens_grow_with_every_grant(context: Context) -> Outcome {
    let clients = [context.client().await?, context.client().await?];
    let name = context.lock("l")?;
    let mut last: Option<FencingToken> = None;
    for client in clients.iter().cycle().take(40) {
        let session = context.long_session(client).await?;
        let grant = acquire(client, &name, session, LockWait::Forever).await?;
        ensure!(G9, last.is_none_or(|last| grant.token > last), "the token {} follows {last:?}", grant.token);
        last = Some(grant.token);
        client.registry().release(&grant).await?;
    }
    Ok(())
}

async fn tokens_grow_over_the_end_of_the_holder_and_of_the_queue(context: Context) -> Outcome {
    let client = context.client().await?;
    let name = context.lock("l")?;
    let mut last = None;
    for round in 0..20 {
        let sessions = sessions(&context, &client, 2).await?;
        for session in sessions {
            let grant = acquire(&client, &name, session, LockWait::Forever).await?;
            ensure!(G9, last.is_none_or(|last| grant.token > last), "round {round}: {} follows {last:?}", grant.token);
            last = Some(grant.token);
            client.registry().close_session(session).await?;
        }
        // Other changes, and the end of everything around the name, must not start the tokens again.
        client.put(&context.key("l")?, "").await?;
        client.delete_tree(&context.root()?).await?;
    }
    Ok(())
}

async fn releasing_twice_succeeds(context: Context) -> Outcome {
    let (client, name, one, other) = two(&context).await?;
    let grant = acquire(&client, &name, one, LockWait::Try).await?;
    client.registry().release(&grant).await?;
    client.registry().release(&grant).await?;
    let next = acquire(&client, &name, other, LockWait::Try).await?;
    client.registry().release(&grant).await?;
    ensure_eq!(G8, client.inspect_lock(&name).await?.holder, Some(next), "the holder after a late second release");
    Ok(())
}

async fn releasing_a_lost_lock_is_an_error(context: Context) -> Outcome {
    let (client, name, one, other) = two(&context).await?;
    let grant = acquire(&client, &name, one, LockWait::Try).await?;
    client.registry().close_session(one).await?;
    let next = acquire(&client, &name, other, LockWait::Try).await?;
    let result = client.registry().release(&grant).await;
    refused(G15, "the release of a lost lock", result, &ErrorKind::LockLost)?;
    ensure_eq!(G8, client.inspect_lock(&name).await?.holder, Some(next), "the holder after the refused release");
    Ok(())
}

async fn an_old_grant_does_not_release_a_newer_one(context: Context) -> Outcome {
    let (client, name, one, _) = two(&context).await?;
    let old = acquire(&client, &name, one, LockWait::Try).await?;
    client.registry().release(&old).await?;
    let new = acquire(&client, &name, one, LockWait::Try).await?;
    // The session is the same: only the token tells the grants apart.
    client.registry().release(&old).await?;
    ensure_eq!(G8, client.inspect_lock(&name).await?.holder, Some(new), "the holder after the release of an old grant");
    Ok(())
}

async fn a_status_names_the_holder_and_the_waiters_in_order(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let name = context.lock("l")?;
    let sessions = sessions(&context, &client, 5).await?;
    let Some((first, rest)) = sessions.split_first() else { return Err(Broken::harness("no sessions")) };
    let grant = acquire(&client, &name, *first, LockWait::Try).await?;
    let mut waiters = Vec::new();
    for (number, session) in rest.iter().enumerate() {
        waiters.push(waiting(&client, &name, *session));
        queued(&context, &client, &name, number + 1).await?;
    }
    let status = other.inspect_lock(&name).await?;
    ensure_eq!(G10, status.holder, Some(grant), "the holder that another client is told");
    let queue: Vec<_> = status.waiters.iter().map(|waiter| waiter.session).collect();
    ensure_eq!(G10, queue, rest, "the waiters that another client is told");
    Ok(())
}
