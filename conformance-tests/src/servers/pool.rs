//! Ensembles that a case gave back serve the next one.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use registry_api::Registry;

use super::ensemble::Ensemble;
use super::software::Software;
use super::{Dial, Servers, Setup};
use crate::{Cluster, Fault, Outcome};

/// What ensembles are told apart by.
type Kind = (Software, usize);

/// The pools of the ensembles that are in use. A pool lives as long as a lease of it: what is idle goes with the last.
static POOLS: LazyLock<Mutex<HashMap<Kind, Weak<Pool>>>> = LazyLock::new(Mutex::default);

#[derive(Debug, Default)]
struct Pool(Mutex<Vec<Ensemble>>);

impl Pool {
    fn of(kind: Kind) -> Arc<Self> {
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        let found = pools.get(&kind).and_then(Weak::upgrade);
        found.unwrap_or_else(|| {
            let pool = Arc::new(Self::default());
            pools.insert(kind, Arc::downgrade(&pool));
            pool
        })
    }

    fn take(&self) -> Option<Ensemble> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, ensemble: Ensemble) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ensemble);
    }
}

/// An ensemble that one case uses.
pub(super) struct Lease {
    /// `None` only while it is being given back.
    ensemble: Option<Ensemble>,
    pool: Arc<Pool>,
    dial: Dial,
}

impl Lease {
    /// An idle ensemble once it is healed, or a fresh one.
    pub(super) async fn take(servers: &Servers) -> Outcome<Self> {
        let pool = Pool::of((servers.software, servers.members));
        let dial = servers.dial;
        while let Some(idle) = pool.take() {
            match idle.heal().await {
                Ok(()) => return Ok(Self { ensemble: Some(idle), pool, dial }),
                Err(broken) => tracing::warn!(%broken, "an ensemble cannot be healed: a fresh one takes its place"),
            }
        }
        let ensemble = Ensemble::launch(&Setup::of(servers.software), servers.members).await?;
        Ok(Self { ensemble: Some(ensemble), pool, dial })
    }

    fn ensemble(&self) -> Outcome<&Ensemble> {
        self.ensemble.as_ref().ok_or_else(|| crate::Broken::harness("the ensemble was given back"))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(ensemble) = self.ensemble.take() {
            self.pool.give_back(ensemble);
        }
    }
}

#[async_trait]
impl Cluster for Lease {
    async fn connect(&self) -> Outcome<Arc<dyn Registry>> {
        (self.dial)(self.ensemble()?.addresses()).await
    }

    async fn connect_to(&self, member: usize) -> Outcome<Arc<dyn Registry>> {
        (self.dial)(vec![self.ensemble()?.member(member)?.gate.address()]).await
    }

    async fn inject(&self, fault: Fault) -> Outcome {
        self.ensemble()?.inject(fault).await
    }

    async fn leader(&self) -> Outcome<usize> {
        self.ensemble()?.leader().await
    }

    async fn disk_usage(&self) -> Outcome<Option<u64>> {
        self.ensemble()?.disk_usage().await.map(Some)
    }
}
