//! The runtime of a member: one of its own, so that an application whose tasks block or crowd the threads of its runtime
//! does not make its member miss heartbeats.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// With more, they wake each other to look for work that the first has taken already: a put passes through a dozen tasks,
/// each of them short.
const WORKERS: usize = 1;

/// Dropping it ends its tasks, each where it waits next, and waits for none.
#[derive(Debug)]
pub(super) struct OwnRuntime {
    handle: Handle,
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
}

impl OwnRuntime {
    /// # Errors
    ///
    /// The system gives no thread.
    pub(super) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime =
            builder.worker_threads(WORKERS).thread_name("registry-member").enable_io().enable_time().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Hands itself over to whoever will run on it, who begins there.
    ///
    /// # Errors
    ///
    /// The beginning panicked.
    ///
    /// # Cancellation
    ///
    /// The beginning is dropped where it waits, and the runtime with it.
    pub(super) async fn hand_to<F>(self, user: impl FnOnce(Self) -> F) -> io::Result<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let handle = self.handle.clone();
        AbortOnDropHandle::new(handle.spawn(user(self))).await.map_err(io::Error::other)
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
