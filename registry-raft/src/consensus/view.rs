//! What is applied: the state as readers see it, with its place in the log.

use std::sync::{Arc, RwLock};

use tokio::sync::watch;

use crate::state_machine::{Change, StateMachine};

/// A state that was applied and where the log stood. Cheap to clone; stays as it is while the member goes on.
#[derive(Clone, Debug)]
pub(crate) struct StateView {
    /// Index of the last applied entry; `None` before the first.
    pub(crate) index: Option<u64>,
    /// The state after that entry.
    pub(crate) state: Arc<StateMachine>,
}

/// Learns of every change when it is applied, in order, on the apply path: it must be quick and must not block.
pub(crate) trait ApplyObserver: Send + Sync + 'static {
    /// An entry was applied; `changes` may be empty. `state` is the state right after it.
    fn applied(&self, index: u64, changes: &[Change], state: &StateMachine);

    /// The state was replaced as a whole: a snapshot was installed, or loaded at the start.
    fn replaced(&self, index: u64, state: &StateMachine);
}

/// Where the state machine adapter publishes and everybody else reads.
#[derive(Debug)]
pub(crate) struct Published {
    view: RwLock<StateView>,
    position: watch::Sender<Applied>,
}

/// The last applied entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// One more than its index; 0 before the first.
    pub(crate) next: u64,
    /// Its term.
    pub(crate) term: u64,
}

impl Published {
    pub(crate) fn new() -> Self {
        let view = StateView { index: None, state: Arc::new(StateMachine::new()) };
        Self { view: RwLock::new(view), position: watch::Sender::new(Applied::default()) }
    }

    /// The state first, then its position: whoever waited for the position finds the state.
    pub(crate) fn publish(&self, index: u64, term: u64, state: StateMachine) {
        let view = StateView { index: Some(index), state: Arc::new(state) };
        *self.view.write().unwrap_or_else(std::sync::PoisonError::into_inner) = view;
        self.position.send_replace(Applied { next: index.saturating_add(1), term });
    }

    pub(crate) fn view(&self) -> StateView {
        self.view.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub(crate) fn position(&self) -> watch::Receiver<Applied> {
        self.position.subscribe()
    }
}
