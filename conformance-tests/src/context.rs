//! What a case is given: clients, names of its own, durations, randomness, and the faults of its harness.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use registry_api::{ClientOptions, Key, LockName, Registry, RegistryClient, SessionId, SessionOptions};
use tokio::time::Instant;

use crate::cable::{Cable, Cabled};
use crate::saboteur::{Sabotaged, Saboteur};
use crate::stall::StallMeter;
use crate::{Broken, Cluster, Fault, Harness, Outcome, Timing};

/// How many ready tasks in a row stand between an event in a backend and the moment a case sees it, at most: what a
/// verdict about lateness allows for a machine that was measured to be slow.
const HOPS: u32 = 6;

static PREFIXES: AtomicU64 = AtomicU64::new(0);

/// Tells this run from others on the same servers.
static RUN: LazyLock<u32> = LazyLock::new(rand::random);

/// The world of one run of one case.
#[derive(Clone, Debug)]
pub struct Context(Arc<World>);

#[derive(Debug)]
struct World {
    cluster: ClusterRef,
    timing: Timing,
    prefix: String,
    seed: u64,
    members: usize,
    saboteur: Option<Arc<dyn Saboteur>>,
    stall: StallMeter,
}

struct ClusterRef(Arc<dyn Cluster>);

impl std::fmt::Debug for ClusterRef {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Cluster")
    }
}

/// What a harness says of its clusters.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The durations of the backend.
    pub timing: Timing,
    /// How many members a cluster has.
    pub members: usize,
}

impl Terms {
    /// The terms of this harness.
    #[must_use]
    pub fn of(harness: &dyn Harness) -> Self {
        Self { timing: harness.timing(), members: harness.members() }
    }
}

impl Context {
    pub(crate) fn new(
        cluster: Arc<dyn Cluster>,
        terms: Terms,
        seed: u64,
        saboteur: Option<Arc<dyn Saboteur>>,
        stall: StallMeter,
    ) -> Self {
        let prefix = format!("/conformance/{:08x}-{}", *RUN, PREFIXES.fetch_add(1, Ordering::Relaxed));
        let Terms { timing, members } = terms;
        Self(Arc::new(World { cluster: ClusterRef(cluster), timing, prefix, seed, members, saboteur, stall }))
    }

    /// How many members the cluster has.
    #[must_use]
    pub fn members(&self) -> usize {
        self.0.members
    }

    /// The durations of the backend.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.0.timing
    }

    /// The key that everything of this case is below.
    pub fn root(&self) -> Outcome<Key> {
        Ok(Key::parse(&self.0.prefix)?)
    }

    /// A key below [`root`](Self::root): `"a/b"`.
    pub fn key(&self, segments: &str) -> Outcome<Key> {
        Ok(Key::parse(&format!("{}/{segments}", self.0.prefix))?)
    }

    /// A lock that no other case uses.
    pub fn lock(&self, segments: &str) -> Outcome<LockName> {
        Ok(LockName::parse(&format!("{}/{segments}", self.0.prefix))?)
    }

    /// Where random cases begin; printed with every failure, set by `CONFORMANCE_SEED`.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The random numbers of this case; `stream` tells apart tasks that must not share them.
    #[must_use]
    pub fn random(&self, stream: u64) -> StdRng {
        StdRng::seed_from_u64(self.0.seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// A client with a connection of its own.
    pub async fn client(&self) -> Outcome<RegistryClient> {
        Ok(self.dress(self.0.cluster.0.connect().await?))
    }

    /// A client that is served by this member.
    pub async fn client_at(&self, member: usize) -> Outcome<RegistryClient> {
        Ok(self.dress(self.0.cluster.0.connect_to(member).await?))
    }

    /// A client whose connection the case can cut: to the servers it is a process that has died.
    pub async fn cabled_client(&self) -> Outcome<(RegistryClient, Cable)> {
        let (cabled, cable) = Cabled::new(self.0.cluster.0.connect().await?, self.timing().request_timeout);
        Ok((self.dress(Arc::new(cabled)), cable))
    }

    fn dress(&self, registry: Arc<dyn Registry>) -> RegistryClient {
        let options = ClientOptions { request_timeout: self.timing().request_timeout, ..ClientOptions::default() };
        let registry = match &self.0.saboteur {
            Some(saboteur) => Arc::new(Sabotaged::new(registry, Arc::clone(saboteur))),
            None => registry,
        };
        RegistryClient::with_options(registry, options)
    }

    /// A session that nothing keeps alive, and that outlives the case unless it is ended.
    pub async fn long_session(&self, client: &RegistryClient) -> Outcome<SessionId> {
        let options = SessionOptions::with_ttl(self.timing().long_ttl);
        Ok(client.registry().open_session(options).await?.id)
    }

    /// A session that nothing keeps alive: it ends one ttl after it was opened, or after its last heartbeat.
    pub async fn short_session(&self, client: &RegistryClient) -> Outcome<SessionId> {
        let options = SessionOptions::with_ttl(self.timing().session_ttl);
        Ok(client.registry().open_session(options).await?.id)
    }

    /// Does this to the servers.
    pub async fn inject(&self, fault: Fault) -> Outcome {
        self.0.cluster.0.inject(fault).await
    }

    /// The member that leads now.
    pub async fn leader(&self) -> Outcome<usize> {
        self.0.cluster.0.leader().await
    }

    /// How many bytes the servers hold on disk.
    pub async fn disk_usage(&self) -> Outcome<Option<u64>> {
        self.0.cluster.0.disk_usage().await
    }

    /// What to allow on top of a promised bound for a machine that kept ready tasks waiting since `start`.
    #[must_use]
    pub fn slack_since(&self, start: Instant) -> Duration {
        self.0.stall.worst_since(start).saturating_mul(HOPS)
    }

    /// The result of `event`, which must come within the patience of the backend; `what` names it.
    #[track_caller]
    pub fn soon<T>(&self, what: &str, event: impl Future<Output = T>) -> impl Future<Output = Outcome<T>> {
        let place = std::panic::Location::caller();
        let patience = self.timing().patience;
        async move {
            tokio::time::timeout(patience, event)
                .await
                .map_err(|_elapsed| Broken::unexpected_at(format!("waited {patience:?} in vain for {what}"), place))
        }
    }
}
