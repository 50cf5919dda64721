//! The task that ends silent sessions: one for a store, owned by it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::store::Shared;

#[derive(Debug, Default)]
pub(super) struct Expiry {
    task: Mutex<Option<AbortOnDropHandle<()>>>,
    opened: Arc<Notify>,
}

impl Expiry {
    /// A session was opened: its deadline is watched from now on. Every request looks at the deadlines too, so a store
    /// whose runtime has stopped is late at most until its next request, which starts the task again.
    pub(super) fn watch(&self, shared: &Arc<Shared>) {
        self.opened.notify_one();
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let run = runtime.spawn(run(Arc::downgrade(shared), self.opened.clone()));
            *task = Some(AbortOnDropHandle::new(run));
        }
    }
}

async fn run(shared: Weak<Shared>, opened: Arc<Notify>) {
    loop {
        let next = {
            let Some(shared) = shared.upgrade() else { return };
            shared.lock().expire(Instant::now())
        };
        match next {
            Some(deadline) => {
                tokio::select! {
                    () = tokio::time::sleep_until(deadline) => {}
                    () = opened.notified() => {}
                }
            }
            None => opened.notified().await,
        }
    }
}
