//! What a backend can tell of its own cluster, beyond the registry's contract: shown to people, never decided by.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use registry_api::{RegistryClient, SessionId};
use serde::Serialize;
use tokio::sync::watch;

use crate::config::SchedulerSettings;
use crate::name::Name;
use crate::state::Certificate;

/// A process that is connected: everything that a role needs.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The registry, below the configured namespace.
    pub client: RegistryClient,
    /// What the backend can tell beyond the contract.
    pub insight: Arc<dyn Insight>,
    /// This process.
    pub name: Name,
    /// Section `[scheduler]`.
    pub settings: SchedulerSettings,
}

/// The leader of a backend's cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leader {
    /// Its id.
    pub node: u64,
    /// Its address.
    pub address: String,
    /// Since which term.
    pub term: u64,
}

/// The part of a backend's cluster that this process embeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMember {
    /// Its id.
    pub node: u64,
    /// Its address, as others dial it.
    pub address: String,
}

/// What a backend can tell of its own cluster.
#[async_trait]
pub trait Insight: fmt::Debug + Send + Sync {
    /// The member in this process, if there is one.
    fn own_member(&self) -> Option<OwnMember>;

    /// Who leads, as far as this process knows; changes are seen at once.
    fn leader(&self) -> watch::Receiver<Option<Leader>>;

    /// What is known of the end of a session; `None` where nothing is. Answers within a few seconds.
    async fn certificate(&self, session: SessionId) -> Option<Certificate>;
}

/// A backend that tells nothing beyond the contract.
#[derive(Debug)]
pub struct NoInsight(watch::Sender<Option<Leader>>);

impl Default for NoInsight {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

#[async_trait]
impl Insight for NoInsight {
    fn own_member(&self) -> Option<OwnMember> {
        None
    }

    fn leader(&self) -> watch::Receiver<Option<Leader>> {
        self.0.subscribe()
    }

    async fn certificate(&self, _session: SessionId) -> Option<Certificate> {
        None
    }
}
