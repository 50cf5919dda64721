//! The home member: the one that serves this client's reads, lock waits and subscriptions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::seq::SliceRandom;
use registry_api::{ConnectionPublisher, ConnectionState};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::backoff::Backoff;
use super::{ClientTiming, Group, Links, Target};
use crate::boundary::{Boundary, MemberView, Standing};
use crate::proto;

/// A member of this process: always the home, and reached by a function call.
#[derive(Clone, Debug)]
pub(crate) struct LocalMember {
    /// Its id.
    pub(crate) id: u64,
    /// The way in.
    pub(crate) boundary: Arc<dyn Boundary>,
}

/// The member that serves reads now.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    /// Its id.
    pub(crate) id: u64,
    /// The way to it.
    pub(crate) boundary: Arc<dyn Boundary>,
}

/// Finds a home, and another one when it is lost or knows of no leader for too long; publishes how the client stands.
#[derive(Debug)]
pub(crate) struct HomeKeeper {
    pub(crate) group: Arc<Group>,
    pub(crate) links: Links,
    pub(crate) timing: ClientTiming,
    pub(crate) home: watch::Sender<Option<Home>>,
    pub(crate) connection: Arc<ConnectionPublisher>,
    pub(crate) failure: Arc<Mutex<String>>,
}

impl HomeKeeper {
    /// Runs until it is dropped.
    pub(crate) async fn run(self, local: Option<LocalMember>) {
        match local {
            Some(local) => self.follow_local(&local).await,
            None => self.keep_remote().await,
        }
    }

    /// The member of this process is home for ever; what it learns of the group is passed on.
    async fn follow_local(&self, local: &LocalMember) {
        self.home.send_replace(Some(Home { id: local.id, boundary: Arc::clone(&local.boundary) }));
        let mut views = local.boundary.view();
        loop {
            let view = views.borrow_and_update().clone();
            self.hear(local.id, &view);
            self.publish(&view);
            if views.changed().await.is_err() {
                return;
            }
        }
    }

    fn hear(&self, id: u64, view: &MemberView) {
        self.group.hear_cluster(&view.cluster);
        self.group.hear_members(view.members.iter().map(|(id, address)| (*id, address.clone())));
        match &view.leader {
            Some(leader) => self.group.hear_leader(id, &proto::Leader::from(leader)),
            // A member that lost its leader does not take the belief in another one away, only its own.
            None => self.group.forget_leader(id),
        }
    }

    /// Connected while the home serves and names a leader; a client that was never connected is still connecting.
    fn publish(&self, view: &MemberView) {
        let connected = view.standing == Standing::Serving && view.leader.is_some();
        if connected {
            self.connection.publish(ConnectionState::Connected);
        } else if self.connection.watch().state() != ConnectionState::Connecting {
            self.connection.publish(ConnectionState::Suspended);
        }
    }

    async fn keep_remote(&self) {
        let mut backoff = Backoff::new(self.timing.redial_min, self.timing.redial_max);
        loop {
            match self.find(None).await {
                Some(found) => {
                    backoff.reset();
                    self.live_at(found).await;
                }
                None => {
                    self.publish(&MemberView::default());
                    tokio::time::sleep(backoff.wait()).await;
                }
            }
        }
    }

    /// Stays at a home until it is lost; looks for a better one while it knows of no leader.
    async fn live_at(&self, mut home: Home) {
        let mut patience = self.timing.home_patience;
        self.home.send_replace(Some(home.clone()));
        let mut views = home.boundary.view();
        loop {
            let view = views.borrow_and_update().clone();
            self.publish(&view);
            if view.standing != Standing::Serving {
                return;
            }
            let wait = if view.leader.is_some() { Duration::from_secs(3600) } else { patience };
            match timeout(wait, views.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_gone)) => return,
                Err(_elapsed) if view.leader.is_some() => {}
                Err(_elapsed) => {
                    patience = (patience * 2).min(self.timing.home_patience * 8);
                    if let Some(better) = self.find(Some(home.id)).await {
                        tracing::info!(from = home.id, to = better.id, "moved to a member that knows a leader");
                        home = better;
                        views = home.boundary.view();
                        self.home.send_replace(Some(home.clone()));
                    }
                }
            }
        }
    }

    /// A member that answers, in random order so that clients spread; without `not`, any, otherwise another one that
    /// knows a leader.
    async fn find(&self, not: Option<u64>) -> Option<Home> {
        let mut targets = self.group.targets();
        targets.shuffle(&mut rand::rng());
        targets.retain(|target| Some(target.id) != not);
        // A member that answers but knows no leader is better than none.
        let mut leaderless = None;
        for target in targets {
            let Some(home) = self.reach(&target).await else { continue };
            if home.boundary.view().borrow().leader.is_some() {
                return Some(home);
            }
            leaderless.get_or_insert(home);
        }
        leaderless.filter(|_home| not.is_none())
    }

    async fn reach(&self, target: &Target) -> Option<Home> {
        let link = self.links.to(target);
        let deadline = Instant::now() + self.timing.connect_timeout * 2;
        match link.connected(deadline).await {
            Ok(_connection) => Some(Home { id: target.id, boundary: link }),
            Err(reason) => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = reason;
                None
            }
        }
    }
}
