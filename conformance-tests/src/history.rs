//! Histories: concurrent operations with their beginnings, ends and results, and the checks that judge them.

pub(crate) mod holders;
pub(crate) mod revisions;
pub(crate) mod search;
pub(crate) mod watch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use registry_api::{Effect, Error, ErrorKind, Revision};

/// The order of beginnings and ends: if one operation ended before another began, its end is the smaller number.
pub(crate) type Tick = u64;

/// What a client did to one of a few keys. Values are numbers that are written once in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Put {
        value: u64,
    },
    Delete,
    /// Puts where the key was last modified at `expected` (0: absent), with `found` the value that was there.
    CompareAndSet {
        expected: Revision,
        found: Option<u64>,
        value: u64,
    },
    Get,
}

/// How it came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A change was made at this revision.
    Changed(Revision),
    /// A delete found nothing to delete at this revision.
    NothingThere(Revision),
    /// The key held this value since `modified`, at the revision `at`.
    Read { found: Option<(u64, Revision)>, at: Revision },
    /// A precondition did not hold.
    Refused,
    /// It failed, and the error says that nothing was done.
    NotApplied,
    /// It failed, and nobody knows.
    Unknown,
}

impl Answer {
    /// The revision that the operation belongs to.
    pub(crate) fn revision(self) -> Option<Revision> {
        match self {
            Self::Changed(revision) | Self::NothingThere(revision) | Self::Read { at: revision, .. } => Some(revision),
            Self::Refused | Self::NotApplied | Self::Unknown => None,
        }
    }

    /// What an error says.
    pub(crate) fn of_error(error: &Error) -> Self {
        match (error.effect(), error.kind()) {
            (Effect::Unknown, _) => Self::Unknown,
            (Effect::NotApplied, ErrorKind::PreconditionFailed) => Self::Refused,
            (Effect::NotApplied, _) => Self::NotApplied,
        }
    }
}

/// One operation of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) key: usize,
    pub(crate) action: Action,
    pub(crate) begun: Tick,
    pub(crate) ended: Tick,
    pub(crate) answer: Answer,
}

impl Operation {
    /// The value that it writes.
    pub(crate) fn written(&self) -> Option<u64> {
        match self.action {
            Action::Put { value } | Action::CompareAndSet { value, .. } => Some(value),
            Action::Delete | Action::Get => None,
        }
    }

    /// Whether it may have changed its key without anybody knowing.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.answer == Answer::Unknown && self.action != Action::Get
    }
}

/// Collects the operations of many clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    ticks: Arc<AtomicU64>,
    operations: Arc<Mutex<Vec<Operation>>>,
}

impl Recorder {
    /// The next tick.
    pub(crate) fn tick(&self) -> Tick {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes an operation that begins at `begun`; its outcome is unknown until [`end`](Self::end).
    pub(crate) fn begin(&self, key: usize, action: Action, begun: Tick) -> usize {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        operations.push(Operation { key, action, begun, ended: Tick::MAX, answer: Answer::Unknown });
        operations.len() - 1
    }

    /// Notes that an operation ends now.
    pub(crate) fn end(&self, operation: usize, answer: Answer) {
        let ended = self.tick();
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(operation) = operations.get_mut(operation) {
            (operation.ended, operation.answer) = (ended, answer);
        }
    }

    /// Everything so far.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
