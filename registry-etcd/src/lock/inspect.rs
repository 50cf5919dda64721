//! Who holds a lock and who waits.

use etcd_client::KeyValue;
use registry_api::{FencingToken, LockGrant, LockName, LockStatus, SessionId, Waiter};

use crate::error::Failure;
use crate::keys::{owner_of, revision};
use crate::registry::Core;

impl Core {
    /// The queue at the server, other programs' places included, and behind it those who wait in this client for the
    /// place of their session.
    pub(crate) async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus, Failure> {
        let (places, at) = self.places(name).await?;
        let waiter = |session| Waiter { session, waiting_for: None };
        let mut places = places.iter();
        let holder = places.next().map(|place| LockGrant {
            name: name.clone(),
            session: session_at(place),
            token: FencingToken::new(revision(place.create_revision())),
        });
        let mut waiters: Vec<_> = places.map(|place| waiter(session_at(place))).collect();
        for (session, count) in self.locks.waiting_for(name) {
            waiters.extend(std::iter::repeat_with(|| waiter(session)).take(count));
        }
        Ok(LockStatus { revision: revision(at), holder, held_for: None, waiters })
    }
}

/// The session of a place; 0 for a place that another program left without a lease.
fn session_at(place: &KeyValue) -> SessionId {
    owner_of(place.lease()).unwrap_or(SessionId::new(0))
}
