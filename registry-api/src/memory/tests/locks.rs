//! Locks of the reference: queues and their order.

use std::time::Duration;

use super::session;
use crate::memory::MemoryStore;
use crate::testbed::lock_name;
use crate::{LockRequest, LockWait, Registry};

#[tokio::test(start_paused = true)]
async fn a_lock_shows_its_holder_and_waiters_with_their_ages() {
    let registry = MemoryStore::new().client();
    let (owner, waiter) = (session(&*registry).await, session(&*registry).await);
    let request = |session| LockRequest { name: lock_name("/l"), session, wait: LockWait::Forever };
    let grant = registry.acquire(request(owner)).await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    let waiting = tokio::spawn({
        let registry = registry.clone();
        async move { registry.acquire(request(waiter)).await }
    });
    while registry.inspect_lock(&lock_name("/l")).await.unwrap().waiters.is_empty() {
        tokio::task::yield_now().await;
    }
    tokio::time::advance(Duration::from_secs(3)).await;

    let status = registry.inspect_lock(&lock_name("/l")).await.unwrap();

    assert_eq!((status.holder, status.held_for.unwrap().as_secs()), (Some(grant.clone()), 5));
    assert_eq!(status.waiters.len(), 1);
    assert_eq!((status.waiters[0].session, status.waiters[0].waiting_for.unwrap().as_secs()), (waiter, 3));
    registry.release(&grant).await.unwrap();
    registry.release(&grant).await.unwrap();
    assert!(waiting.await.unwrap().unwrap().token > grant.token);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_waiters_are_served_in_order_and_one_at_a_time() {
    let store = MemoryStore::new();
    let registry = store.client();
    let owner = session(&*registry).await;
    let request = || LockRequest { name: lock_name("/l"), session: owner, wait: LockWait::Forever };
    let mut grant = registry.acquire(request()).await.unwrap();
    let mut waiting: std::collections::VecDeque<_> = (0..1000).map(|_| Box::pin(registry.acquire(request()))).collect();
    for place in &mut waiting {
        assert!(futures::poll!(place).is_pending());
    }
    while let Some(next) = waiting.pop_front() {
        registry.release(&grant).await.unwrap();
        assert_eq!(store.usage().waiters, waiting.len(), "one release, one grant");
        let next = next.await.unwrap();
        assert!(next.token > grant.token);
        grant = next;
    }
}
