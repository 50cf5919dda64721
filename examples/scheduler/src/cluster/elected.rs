//! The leading master of a registry that is a service of its own: elected by the contract's means.

use async_trait::async_trait;
use registry_api::{Election, RegistryClient, SessionId};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{Insight, Leader, Leading, OwnMember};
use crate::name::Name;
use crate::state::{Certificate, keys};

/// Who leads by an [`Election`] that every master stands in. Nothing else is known of the servers.
#[derive(Debug)]
pub struct ElectedInsight {
    election: Election,
    leader: watch::Receiver<Option<Leader>>,
    _observer: AbortOnDropHandle<()>,
}

impl ElectedInsight {
    /// Observes the election. `name` is what the others are told when this process is elected.
    #[must_use]
    pub fn new(client: &RegistryClient, name: &Name) -> Self {
        let election = Election::new(client.clone(), keys::leader(), name.as_str().to_owned());
        let mut leaders = election.observe();
        let (sender, leader) = watch::channel(None);
        let observer = tokio::spawn(async move {
            while let Some(seen) = leaders.next().await {
                sender.send_replace(seen.as_ref().and_then(elected));
            }
        });
        Self { election, leader, _observer: AbortOnDropHandle::new(observer) }
    }
}

/// `None` for a record that no master wrote.
fn elected(record: &registry_api::Leader) -> Option<Leader> {
    let name = std::str::from_utf8(&record.candidate).ok()?.parse().ok()?;
    Some(Leader { term: record.token.revision().counter, who: Leading::Master(name) })
}

#[async_trait]
impl Insight for ElectedInsight {
    fn own_member(&self) -> Option<OwnMember> {
        None
    }

    fn leader(&self) -> watch::Receiver<Option<Leader>> {
        self.leader.clone()
    }

    fn election(&self) -> Option<&Election> {
        Some(&self.election)
    }

    async fn certificate(&self, _session: SessionId) -> Option<Certificate> {
        None
    }
}
