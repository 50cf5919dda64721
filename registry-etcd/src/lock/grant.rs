//! A grant on its way to whoever asked for it.

use std::sync::Arc;

use registry_api::LockGrant;

use crate::registry::Core;

/// A lock that was granted. Dropping it without accepting it gives the lock back.
pub(super) struct Granted {
    core: Arc<Core>,
    grant: LockGrant,
    interest: Interest,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Interest {
    Open,
    Accepted,
}

impl Granted {
    pub(super) fn new(core: Arc<Core>, grant: LockGrant) -> Self {
        Self { core, grant, interest: Interest::Open }
    }

    pub(super) fn accept(mut self) -> LockGrant {
        self.interest = Interest::Accepted;
        self.grant.clone()
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        if self.interest == Interest::Accepted {
            return;
        }
        let grant = self.grant.clone();
        let core = Arc::clone(&self.core);
        self.core.spawn_for_locks(async move {
            while let Err(failure) = core.release(&grant).await {
                if failure.kind == registry_api::ErrorKind::LockLost {
                    return;
                }
                tracing::debug!(lock = %grant.name, ?failure, "a grant that nobody waits for is still to be given back");
            }
        });
    }
}
