//! The plugin: `backend = "raft"`.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use figment::Figment;
use registry_api::{Plugin, Registry, Result};

use crate::convert::BACKEND;
use crate::{RaftRegistry, RaftSettings};

/// Connects `backend = "raft"` from the section `[registry.raft]` (see [`RaftSettings`]).
///
/// Clones share what they connected, so that a composition root can keep one and reach what only this backend has:
///
/// ```no_run
/// # async fn composed(settings: figment::Figment) -> Result<(), Box<dyn std::error::Error>> {
/// use registry_api::Plugins;
/// use registry_raft::RaftPlugin;
///
/// let raft = RaftPlugin::new();
/// let client = Plugins::new().with(raft.clone()).connect(settings).await?;
/// if let Some(registry) = raft.raft() {
///     println!("{:?}", registry.status().await?);
/// }
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct RaftPlugin {
    connected: Arc<Mutex<Weak<RaftRegistry>>>,
}

impl RaftPlugin {
    /// Not connected yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The registry that was connected last through this plugin or a clone of it, while somebody holds it; `None` when
    /// another backend was chosen.
    #[must_use]
    pub fn raft(&self) -> Option<Arc<RaftRegistry>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}

#[async_trait]
impl Plugin for RaftPlugin {
    fn name(&self) -> &'static str {
        BACKEND
    }

    async fn connect(&self, settings: Figment) -> Result<Arc<dyn Registry>> {
        let registry = Arc::new(RaftRegistry::connect(RaftSettings::read(&settings)?).await?);
        *self.connected.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&registry);
        Ok(registry)
    }
}
