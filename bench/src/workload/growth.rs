//! W15: whether operations stay as fast with more keys, members and sessions, and while snapshots are made.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use registry_api::RegistryClient;

use super::Path;
use super::fill::{fill, key};
use super::keys::{self, value};
use crate::cluster::{Cluster, Fleet, free_ports};
use crate::load::{Caller, Scene, timed};
use crate::row::Figures;
use crate::{Outcome, line};

/// With which the growth begins.
pub(crate) const FEWEST: usize = 1000;
const CALLERS: usize = 64;
const OPENED_AT_ONCE: usize = 64;
/// Connections that sessions share where the system lets them.
const CONNECTIONS: usize = 16;
/// So that snapshots are made all the time.
const EAGER: &str = "compact_after_entries = 1000\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Put,
    Get,
}

impl Operation {
    pub(super) const ALL: [Self; 2] = [Self::Put, Self::Get];
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Put => "put",
            Self::Get => "get",
        })
    }
}

/// Puts or gets all over so many keys.
pub(super) async fn over_keys(scene: &Scene<'_>, keys: usize, operation: Operation) -> Outcome<Figures> {
    let client = scene.cluster.connect().await?;
    fill(&client, keys).await?;
    let figures = among(scene, &client, keys, operation, CALLERS).await;
    let _ = client.close().await;
    figures
}

/// Puts to a cluster of so many members.
pub(super) async fn over_members(scene: &Scene<'_>, count: usize) -> Outcome<Figures> {
    own_fleet(scene, count, "", async |scene| keys::put(scene, Path::Registry, CALLERS, 1).await).await
}

/// Puts while so many sessions are held open.
pub(super) async fn over_sessions(scene: &Scene<'_>, count: usize) -> Outcome<Figures> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS.min(count) {
        clients.push(scene.cluster.connect().await?);
    }
    let opened = futures::stream::iter((0..count).zip(clients.iter().cycle()))
        .map(|(_, client)| async { client.open_session(client.session_options()).await.map_err(line) });
    let sessions: Vec<_> = opened.buffer_unordered(OPENED_AT_ONCE).try_collect().await?;
    let figures = keys::put(scene, Path::Registry, CALLERS, 1).await;
    let closing = sessions.iter().map(|session| async { drop(session.close().await) });
    futures::stream::iter(closing).buffer_unordered(OPENED_AT_ONCE).collect::<()>().await;
    for client in clients {
        let _ = client.close().await;
    }
    figures
}

/// Puts by one caller while the members make one snapshot of so many keys after the other.
pub(super) async fn with_snapshots(scene: &Scene<'_>, keys: usize) -> Outcome<Figures> {
    own_fleet(scene, 3, EAGER, async |scene| {
        let client = scene.cluster.connect().await?;
        fill(&client, keys).await?;
        let figures = among(scene, &client, keys, Operation::Put, 1).await;
        let _ = client.close().await;
        figures
    })
    .await
}

/// The same scene with members of its own.
async fn own_fleet(
    scene: &Scene<'_>,
    count: usize,
    settings: &str,
    measure: impl AsyncFnOnce(&Scene<'_>) -> Outcome<Figures>,
) -> Outcome<Figures> {
    let mut fleet = Cluster::Fleet(Fleet::new(&scene.directory.join("own"), free_ports(count)?, settings));
    fleet.renew().await?;
    let others = [scene.others, &scene.cluster.processes()].concat();
    let own = Scene { cluster: &mut fleet, others: &others, span: scene.span, directory: scene.directory };
    let figures = measure(&own).await;
    fleet.clear().await?;
    figures
}

async fn among(
    scene: &Scene<'_>,
    client: &RegistryClient,
    keys: usize,
    operation: Operation,
    callers: usize,
) -> Outcome<Figures> {
    let caller = |number| Wanderer { client: client.clone(), keys, place: number * STRIDE, operation };
    scene.run((0..callers).map(|number| Box::new(caller(number)) as Box<dyn Caller>).collect()).await
}

/// Coprime to the numbers of keys, so that a walk in such steps meets them all, far from each other.
const STRIDE: usize = 7_919;

struct Wanderer {
    client: RegistryClient,
    keys: usize,
    place: usize,
    operation: Operation,
}

#[async_trait]
impl Caller for Wanderer {
    async fn call(&mut self) -> Outcome<Duration> {
        self.place = (self.place + STRIDE) % self.keys;
        let key = key(self.place)?;
        match self.operation {
            Operation::Put => timed(async { self.client.put(&key, value()).await.map_err(line) }).await,
            Operation::Get => timed(async { self.client.get(&key).await.map_err(line) }).await,
        }
    }
}
