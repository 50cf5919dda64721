//! A process of its own, as far as one can be had inside a test: a runtime on one thread, which can be frozen.

use std::future::Future;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::{Broken, Outcome};

/// Runs what belongs to one client on a thread of its own, so that all of it can stand still while the rest goes on.
/// Ends with its last task cancelled when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    handle: Handle,
    /// Dropping it ends the thread.
    _alive: oneshot::Sender<()>,
}

/// A [`Process`] that stands still until this is dropped.
#[derive(Debug)]
pub(crate) struct Frozen {
    _until_dropped: mpsc::Sender<()>,
}

impl Frozen {
    pub(crate) fn thaw(self) {}
}

impl Process {
    pub(crate) fn start() -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        thread::Builder::new().name("conformance-process".to_owned()).spawn(move || {
            // The error is the signal: the sender was dropped.
            let _ = runtime.block_on(ended);
        })?;
        Ok(Self { handle, _alive: alive })
    }

    /// Runs a task inside, and waits for its result.
    pub(crate) async fn run<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Outcome<T> {
        self.handle.spawn(task).await.map_err(Broken::harness)
    }

    /// Stops everything inside, as SIGSTOP would, and returns when it stands.
    pub(crate) async fn freeze(&self) -> Outcome<Frozen> {
        let (until_dropped, thaw) = mpsc::channel();
        let (standing, stands) = oneshot::channel();
        self.handle.spawn(async move {
            // Blocking the only thread of this runtime is the point.
            let _ = standing.send(());
            let _ = thaw.recv();
        });
        stands.await.map_err(Broken::harness)?;
        Ok(Frozen { _until_dropped: until_dropped })
    }
}
