//! The suite on the in-memory reference.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use conformance_tests::{Broken, Cluster, Fault, Harness, Outcome, Timing};
use registry_api::Registry;
use registry_api::memory::MemoryStore;

#[derive(Debug)]
struct Memory;

#[derive(Debug)]
struct Store(MemoryStore);

#[async_trait]
impl Harness for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn timing(&self) -> Timing {
        Timing::default()
    }

    fn members(&self) -> usize {
        1
    }

    fn faults(&self) -> &'static [Fault] {
        &[]
    }

    fn expected(&self) -> &'static str {
        include_str!("../expected/memory.txt")
    }

    fn capabilities(&self) -> &'static str {
        include_str!("../../docs/capabilities/memory.json")
    }

    async fn start(&self) -> Outcome<Arc<dyn Cluster>> {
        Ok(Arc::new(Store(MemoryStore::new())))
    }
}

#[async_trait]
impl Cluster for Store {
    async fn connect(&self) -> Outcome<Arc<dyn Registry>> {
        Ok(self.0.client())
    }

    async fn connect_to(&self, _member: usize) -> Outcome<Arc<dyn Registry>> {
        self.connect().await
    }

    async fn inject(&self, fault: Fault) -> Outcome {
        Err(Broken::harness(format!("there is no server to {fault}")))
    }

    async fn leader(&self) -> Outcome<usize> {
        Ok(0)
    }

    async fn disk_usage(&self) -> Outcome<Option<u64>> {
        Ok(None)
    }
}

fn main() -> ExitCode {
    conformance_tests::run(vec![Arc::new(Memory)])
}
