//! What is known of the cluster beyond keys: who leads, what a backend tells of itself. Shown to people, never decided by.

mod elected;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use registry_api::{Election, RegistryClient, SessionId};
use tokio::sync::watch;

use crate::config::SchedulerSettings;
use crate::name::Name;
use crate::state::Certificate;

pub use elected::ElectedInsight;

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

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Grows with every leader: the term of the backend's cluster, or the counter of the fencing token of the election.
    pub term: u64,
    /// Who it is.
    pub who: Leading,
}

/// What leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leading {
    /// A member of the registry's own cluster, which a master embeds.
    Member {
        /// Its id.
        node: u64,
        /// Its address.
        address: String,
    },
    /// A master that was elected: the registry is a service beside the masters.
    Master(Name),
}

/// The part of a backend's cluster that this process embeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMember {
    /// Its id.
    pub node: u64,
    /// Its address, as others dial it.
    pub address: String,
}

/// What a backend can tell of its own cluster, or what the contract tells in its place.
#[async_trait]
pub trait Insight: fmt::Debug + Send + Sync {
    /// The member in this process, if there is one.
    fn own_member(&self) -> Option<OwnMember>;

    /// Who leads, as far as this process knows; changes are seen at once.
    fn leader(&self) -> watch::Receiver<Option<Leader>>;

    /// The election that masters stand in; `None` where leading comes with the backend's cluster.
    fn election(&self) -> Option<&Election>;

    /// What is known of the end of a session; `None` where nothing is. Answers within a few seconds.
    async fn certificate(&self, session: SessionId) -> Option<Certificate>;
}
