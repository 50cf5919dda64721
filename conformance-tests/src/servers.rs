//! Harnesses for servers that run outside of the tests: ZooKeeper and etcd, in containers or given by address.
//!
//! Clients reach every member through a TCP relay of the harness, which can slow, hold back and cut their connections.
//! Starting an ensemble takes seconds, so one that a case gives back is healed and serves the next case that asks.

mod docker;
mod ensemble;
mod exec;
mod gate;
mod given;
mod member;
mod pool;
mod probe;
mod release;
mod requests;
mod setup;
mod software;
mod solo;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use registry_api::Registry;

use crate::harness::NOT_COMMITTED;
use crate::{Cluster, Fault, Harness, Outcome, Timing};

pub use requests::Requests;
pub use setup::Setup;
pub use software::Software;
pub use solo::{Programs, Server};

/// Connects a backend to these servers, each `host:port`; the first is to be tried first.
pub type Dial = fn(Vec<String>) -> BoxFuture<'static, Outcome<Arc<dyn Registry>>>;

/// Servers of one kind, and the backend that talks to them.
///
/// They run in containers, whose images `cargo xtask images` builds. Where the environment gives addresses
/// ([`Software::variable`]), those servers are used as they are, and no fault can be done to them.
#[derive(Clone, Copy, Debug)]
pub struct Servers {
    /// The name in reports: `etcd-three`.
    pub name: &'static str,
    /// What runs.
    pub software: Software,
    /// How many members an ensemble has.
    pub members: usize,
    /// The durations of the backend.
    pub timing: Timing,
    /// The committed list of cases that do not run.
    pub expected: &'static str,
    /// The committed declaration of the backend's capabilities.
    pub capabilities: &'static str,
    /// How the backend connects.
    pub dial: Dial,
}

#[async_trait]
impl Harness for Servers {
    fn name(&self) -> &'static str {
        self.name
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn members(&self) -> usize {
        self.software.given().map_or(self.members, |given| given.len().min(self.members))
    }

    fn faults(&self) -> &'static [Fault] {
        match self.software.given() {
            Some(_) => &[],
            None => self.software.faults(self.members),
        }
    }

    fn expected(&self) -> &'static str {
        match self.software.given() {
            Some(_) => NOT_COMMITTED,
            None => self.expected,
        }
    }

    fn capabilities(&self) -> &'static str {
        self.capabilities
    }

    async fn start(&self) -> Outcome<Arc<dyn Cluster>> {
        match self.software.given() {
            Some(addresses) => Ok(Arc::new(given::Given::reach(self, addresses).await?)),
            None => Ok(Arc::new(pool::Lease::take(self).await?)),
        }
    }
}
