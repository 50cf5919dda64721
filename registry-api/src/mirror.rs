//! The mirror: a live local copy of a scope.

mod apply;
mod changes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::follower::Follower;
use crate::{Effect, Entry, Error, ErrorKind, Key, Operation, RegistryClient, Result, Revision, Scope};

pub use changes::{MirrorChange, MirrorChanges};

/// How many changes a reader of [`Mirror::changes`] may be behind before it is told to look at everything again. While a
/// reader is behind, the values of the changes that it has not read stay in memory.
pub const MIRROR_CHANGES_MAX: usize = 1024;

/// A live local copy of a scope: a subscription applied to a map. Clones are the same mirror; it ends with the last one.
///
/// The copy always shows the scope as it was at one revision, a little behind the backend. While the backend cannot be
/// reached it stays what it was; afterwards it catches up by itself, whatever was missed.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use registry_api::{Key, RegistryClient, Scope, memory::MemoryStore};
///
/// let client = RegistryClient::new(MemoryStore::new().client());
/// let node: Key = "/nodes/1".parse()?;
/// client.put(&node, "here").await?;
/// let nodes = client.mirror(Scope::Children("/nodes".parse()?)).await?;
/// nodes.wait_synced().await?;
/// assert!(nodes.get(&node).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mirror {
    scope: Scope,
    backend: &'static str,
    view: watch::Receiver<View>,
    changes: broadcast::Sender<MirrorChange>,
    _task: Arc<AbortOnDropHandle<()>>,
}

/// What the mirror shows.
#[derive(Clone, Debug, Default)]
struct View {
    entries: Arc<BTreeMap<Key, Entry>>,
    revision: Revision,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Beginning,
    Synced,
    Closed,
}

impl Mirror {
    /// Opens a mirror of `scope`. It is empty until its first snapshot has come: see [`Mirror::wait_synced`].
    ///
    /// # Errors
    ///
    /// Those of [`Registry::subscribe`](crate::Registry::subscribe). Later failures of the subscription are not errors
    /// of the mirror: it subscribes again, after 50 ms at first, then with pauses up to 5 s.
    pub async fn open(client: &RegistryClient, scope: Scope) -> Result<Self> {
        let follower = Follower::open(client, scope.clone()).await?;
        let (publisher, view) = watch::channel(View::default());
        let changes = broadcast::Sender::new(MIRROR_CHANGES_MAX);
        let task = tokio::spawn(apply::run(follower, publisher, changes.clone()));
        let _task = Arc::new(AbortOnDropHandle::new(task));
        Ok(Self { scope, backend: client.backend(), view, changes, _task })
    }

    /// The scope that is mirrored.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Waits until the first snapshot has come.
    ///
    /// # Errors
    ///
    /// [`Closed`](ErrorKind::Closed): the registry was closed before.
    ///
    /// # Cancellation
    ///
    /// Safe.
    pub async fn wait_synced(&self) -> Result<()> {
        let mut view = self.view.clone();
        match view.wait_for(|view| view.progress != Progress::Beginning).await {
            Ok(view) if view.progress == Progress::Synced || view.revision > Revision::ZERO => Ok(()),
            _ => {
                let message = "the registry was closed before the mirror had its first snapshot";
                Err(Error::new(ErrorKind::Closed, Effect::NotApplied, Operation::Subscribe, self.backend, message))
            }
        }
    }

    /// One entry, as mirrored now.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Entry> {
        self.view.borrow().entries.get(key).cloned()
    }

    /// Everything, as mirrored now: one consistent map. Holding on to it is cheap for small scopes; while it is held, the
    /// next change copies the map (not the values).
    #[must_use]
    pub fn entries(&self) -> Arc<BTreeMap<Key, Entry>> {
        self.view.borrow().entries.clone()
    }

    /// The revision that the mirror has reached.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.view.borrow().revision
    }

    /// The changes from now on. The stream begins with [`MirrorChange::Resynced`]: look at [`Mirror::entries`] then, and
    /// apply what follows (some of which may be in it already). A reader that falls more than [`MIRROR_CHANGES_MAX`]
    /// changes behind gets `Resynced` again in place of what it missed. The stream ends when the registry is closed.
    #[must_use]
    pub fn changes(&self) -> MirrorChanges {
        MirrorChanges::new(self.changes.subscribe())
    }
}
