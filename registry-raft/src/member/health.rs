//! Whether a member is healthy (should it be restarted?) and ready (should it be asked?).

use tokio::sync::watch;

use crate::boundary::{MemberView, Standing};

/// One bit and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Bad(String),
}

/// How a member stands.
#[derive(Debug)]
pub(crate) struct Health {
    failure: watch::Receiver<Option<String>>,
    view: watch::Receiver<MemberView>,
}

impl Health {
    /// By what has failed for good, and by what the member says of itself.
    pub(crate) fn new(failure: watch::Receiver<Option<String>>, view: watch::Receiver<MemberView>) -> Self {
        Self { failure, view }
    }

    /// Bad when the member has stopped for good: its process should be restarted, or its operator called.
    pub(crate) fn healthy(&self) -> Verdict {
        match &*self.failure.borrow() {
            Some(reason) => Verdict::Bad(format!("the member has stopped: {reason}")),
            None => Verdict::Good,
        }
    }

    /// Bad as well while it knows of no leader that can serve, and while it stops.
    pub(crate) fn ready(&self) -> Verdict {
        if let bad @ Verdict::Bad(_) = self.healthy() {
            return bad;
        }
        let view = self.view.borrow();
        match (view.standing, &view.leader) {
            (Standing::Serving, Some(_)) => Verdict::Good,
            (Standing::Serving, None) => Verdict::Bad("no leader with a quorum is known".to_owned()),
            (Standing::Away | Standing::Leaving, _) => Verdict::Bad("the member is stopping".to_owned()),
        }
    }
}
