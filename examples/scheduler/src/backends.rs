//! The composition root: the only place that names the backends.

use std::sync::Arc;

use async_trait::async_trait;
use registry_api::{Election, Plugins, SessionId};
use registry_etcd::EtcdPlugin;
use registry_raft::{RaftPlugin, RaftRegistry};
use registry_zookeeper::ZooKeeperPlugin;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::{Connected, ElectedInsight, Insight, Leader, Leading, OwnMember};
use crate::config::Config;
use crate::exit::Failure;
use crate::state::Certificate;

/// Connects to the backend that the configuration names. A further backend joins by one more `with`.
///
/// # Errors
///
/// [`Failure`]: an unknown backend or setting, or whatever connecting meets.
pub async fn connect(config: &Config) -> Result<Connected, Failure> {
    let raft = RaftPlugin::new();
    let plugins = Plugins::new().with(raft.clone()).with(ZooKeeperPlugin).with(EtcdPlugin);
    let client = plugins.connect(config.registry.clone()).await?;
    let insight: Arc<dyn Insight> = match raft.raft() {
        Some(registry) => Arc::new(RaftInsight::new(registry, own_member(config))),
        None => Arc::new(ElectedInsight::new(&client, &config.name)),
    };
    Ok(Connected { client, insight, name: config.name.clone(), settings: config.scheduler.clone() })
}

/// The member that the configuration describes; `None` for a client.
fn own_member(config: &Config) -> Option<OwnMember> {
    let settings = registry_raft::RaftSettings::read(&config.registry.focus("raft")).ok()?;
    if settings.role != registry_raft::Role::Member {
        return None;
    }
    let listed = settings.members.iter().find(|member| member.id == settings.node);
    let address = settings.advertise.or_else(|| listed.map(|member| member.address.clone()));
    Some(OwnMember { node: settings.node, address: address.unwrap_or(settings.listen) })
}

/// What the raft backend tells of its cluster.
#[derive(Debug)]
struct RaftInsight {
    registry: Arc<RaftRegistry>,
    own: Option<OwnMember>,
    leader: watch::Receiver<Option<Leader>>,
    _follower: AbortOnDropHandle<()>,
}

impl RaftInsight {
    fn new(registry: Arc<RaftRegistry>, own: Option<OwnMember>) -> Self {
        let mut leaders = registry.leaders();
        let (sender, leader) = watch::channel(None);
        let follower = tokio::spawn(async move {
            while let Some(seen) = leaders.next().await {
                // Whose term is not known was only named as somebody to ask.
                let seen = seen.filter(|seen| seen.term > 0);
                sender.send_replace(seen.map(|seen| {
                    let who = Leading::Member { node: seen.id, address: seen.address };
                    Leader { term: seen.term, who }
                }));
            }
        });
        Self { registry, own, leader, _follower: AbortOnDropHandle::new(follower) }
    }
}

#[async_trait]
impl Insight for RaftInsight {
    fn own_member(&self) -> Option<OwnMember> {
        self.own.clone()
    }

    fn leader(&self) -> watch::Receiver<Option<Leader>> {
        self.leader.clone()
    }

    fn election(&self) -> Option<&Election> {
        None
    }

    async fn certificate(&self, session: SessionId) -> Option<Certificate> {
        let deaths = self.registry.deaths().await.ok()?;
        let found = deaths.into_iter().rev().find(|death| death.session == session.get())?;
        let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Some(Certificate {
            silent_ms: ms(found.silence),
            ttl_ms: ms(found.ttl),
            leader_changes: found.leader_changes,
            leader_stalls: found.leader_stalls,
        })
    }
}
