//! Passes what is applied to the parts of the service, in the order that they rely on.

use std::sync::Arc;

use registry_api::Revision;

use crate::consensus::ApplyObserver;
use crate::member::applied::Applied;
use crate::member::grants::Grants;
use crate::member::metrics::Meters;
use crate::member::sessions::Sessions;
use crate::member::watches::Watches;
use crate::state_machine::{Change, StateMachine};

/// The parts that learn of every change.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) applied: Arc<Applied>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) meters: Arc<Meters>,
}

impl ApplyObserver for Observer {
    fn applied(&self, index: u64, changes: &[Change], revision: Revision) {
        // First: who misses one of the changes below finds a revision here that holds it.
        self.applied.tell(revision);
        self.sessions.applied(changes);
        self.watches.applied(changes, revision);
        self.grants.applied(changes);
        self.tell_index(index);
    }

    fn replaced(&self, index: u64, state: &StateMachine) {
        let revision = state.revision();
        self.applied.tell(revision);
        self.sessions.replaced(state);
        self.watches.replaced(revision);
        self.grants.replaced();
        self.tell_index(index);
    }
}

impl Observer {
    #[expect(clippy::cast_precision_loss, reason = "a gauge for people; exact up to 2^52")]
    fn tell_index(&self, index: u64) {
        self.meters.applied_index.set(index as f64);
    }
}
