//! Servers that others started, at addresses from the environment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use registry_api::Registry;

use super::software::Role;
use super::{Dial, Servers, Software};
use crate::{Broken, Cluster, Fault, Outcome};

/// A cluster that is used as it is.
pub(super) struct Given {
    software: Software,
    addresses: Vec<String>,
    dial: Dial,
    connected: AtomicUsize,
}

impl Given {
    /// Fails unless every server answers.
    pub(super) async fn reach(servers: &Servers, mut addresses: Vec<String>) -> Outcome<Self> {
        addresses.truncate(servers.members);
        for address in &addresses {
            if let Err(broken) = tokio::net::TcpStream::connect(address).await {
                let variable = servers.software.variable();
                return Err(Broken::harness(format!("{variable} names {address}, which does not answer: {broken}")));
            }
        }
        Ok(Self { software: servers.software, addresses, dial: servers.dial, connected: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Cluster for Given {
    async fn connect(&self) -> Outcome<Arc<dyn Registry>> {
        let mut addresses = self.addresses.clone();
        let turn = self.connected.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
        addresses.rotate_left(turn);
        (self.dial)(addresses).await
    }

    async fn connect_to(&self, member: usize) -> Outcome<Arc<dyn Registry>> {
        let address = self.addresses.get(member).cloned();
        let address = address.ok_or_else(|| Broken::harness(format!("there is no member {member}")))?;
        (self.dial)(vec![address]).await
    }

    async fn inject(&self, fault: Fault) -> Outcome {
        Err(Broken::harness(format!("servers that others started: cannot {fault}")))
    }

    async fn leader(&self) -> Outcome<usize> {
        for (number, address) in self.addresses.iter().enumerate() {
            if matches!(self.software.role(address).await, Ok(Role::Leads)) {
                return Ok(number);
            }
        }
        // Four letter words may be switched off: then nobody knows, and nobody is disturbed by a guess.
        Ok(0)
    }

    async fn disk_usage(&self) -> Outcome<Option<u64>> {
        Ok(None)
    }
}
