//! What is applied: the state as readers see it, with its place in the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use registry_api::Revision;
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
    /// An entry was applied; `changes` may be empty. `revision` is that of the state right after it, which readers find
    /// already.
    fn applied(&self, index: u64, changes: &[Change], revision: Revision);

    /// The state was replaced as a whole: a snapshot was installed, or loaded at the start.
    fn replaced(&self, index: u64, state: &StateMachine);
}

/// The applied state, which the state machine adapter changes and everybody else reads.
///
/// Readers get a clone, which stays as it is. It is made when the first of them asks after a change and let go of before
/// the next change: a state that nobody looks at is changed in place, and nothing of it is copied.
#[derive(Debug)]
pub(crate) struct Published {
    current: Mutex<Current>,
    position: watch::Sender<Applied>,
}

#[derive(Debug)]
struct Current {
    index: Option<u64>,
    state: StateMachine,
    /// The clone for readers, if one was asked for since the last change.
    shared: Option<Arc<StateMachine>>,
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
        let current = Current { index: None, state: StateMachine::new(), shared: None };
        Self { current: Mutex::new(current), position: watch::Sender::new(Applied::default()) }
    }

    /// Changes the state in place by what the entry at `index` says. Readers wait meanwhile: for what takes long there is
    /// [`Published::replace`].
    pub(crate) fn change<T>(&self, index: u64, change: impl FnOnce(&mut StateMachine) -> T) -> T {
        let mut current = self.lock();
        // Before the change, so that what no reader holds is not copied for one.
        current.shared = None;
        current.index = Some(index);
        change(&mut current.state)
    }

    /// Puts another state in the place of the current one.
    pub(crate) fn replace(&self, index: u64, state: StateMachine) {
        let mut current = self.lock();
        let former = std::mem::replace(&mut *current, Current { index: Some(index), state, shared: None });
        drop(current);
        // Letting go of what only it held may take a while.
        drop(former);
    }

    /// Tells how far the state is. Called after it was changed: whoever waited for the position finds the state.
    pub(crate) fn reached(&self, index: u64, term: u64) {
        self.position.send_replace(Applied { next: index.saturating_add(1), term });
    }

    pub(crate) fn view(&self) -> StateView {
        let mut current = self.lock();
        let Current { index, state, shared } = &mut *current;
        StateView { index: *index, state: Arc::clone(shared.get_or_insert_with(|| Arc::new(state.clone()))) }
    }

    pub(crate) fn position(&self) -> watch::Receiver<Applied> {
        self.position.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;
    use crate::proto::command::Command;

    fn put(value: &'static str) -> proto::Batch {
        let put = proto::Put { key: "/a".to_owned(), value: value.into(), ..proto::Put::default() };
        let command = Some(proto::Command { command: Some(Command::Put(put)) });
        proto::Batch { proposals: vec![proto::Proposal { command, ..proto::Proposal::default() }] }
    }

    fn value(view: &StateView) -> bytes::Bytes {
        view.state.get(&"/a".parse().unwrap()).entry.unwrap().value
    }

    #[test]
    fn a_view_stays_as_it_was_while_the_state_is_changed_in_place() {
        let published = Published::new();
        published.change(1, |state| state.apply(&put("old"))).unwrap();
        let before = published.view();
        published.change(2, |state| state.apply(&put("new"))).unwrap();
        assert_eq!((before.index, value(&before)), (Some(1), "old".into()));
        assert_eq!((published.view().index, value(&published.view())), (Some(2), "new".into()));
    }

    #[test]
    fn readers_of_one_state_share_one_clone_and_a_change_lets_go_of_it() {
        let published = Published::new();
        let view = published.view();
        assert!(Arc::ptr_eq(&view.state, &published.view().state));
        published.change(1, |_state| ());
        assert_eq!(Arc::strong_count(&view.state), 1);
    }
}
