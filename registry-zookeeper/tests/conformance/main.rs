//! The conformance suite on this backend: one server of ZooKeeper, and three.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use conformance_tests::servers::{Servers, Software};
use conformance_tests::{Broken, Harness, LeaderChange, Outcome, Timing};
use futures::FutureExt;
use futures::future::BoxFuture;
use registry_api::Registry;
use registry_zookeeper::{ZooKeeperRegistry, ZooKeeperSettings};

/// The durations of the backend where servers and clients share a small machine. A session that falls silent is ended at
/// the next tick of its server, and a new leader gives every session its whole ttl again.
fn timing() -> Timing {
    Timing {
        session_ttl: Duration::from_secs(2),
        late_bound: Duration::from_millis(1250),
        leader_change: LeaderChange::RestartsTtls,
        parallel: 8,
        parallel_apart: 2,
        case_limit: Duration::from_secs(300),
        ..Timing::default()
    }
}

fn dial(servers: Vec<String>) -> BoxFuture<'static, Outcome<Arc<dyn Registry>>> {
    async move {
        let settings = ZooKeeperSettings::at(&servers.join(",")).map_err(Broken::harness)?;
        let registry = ZooKeeperRegistry::connect(settings).await.map_err(Broken::harness)?;
        Ok(Arc::new(registry) as Arc<dyn Registry>)
    }
    .boxed()
}

fn servers(name: &'static str, members: usize, expected: &'static str) -> Arc<dyn Harness> {
    let capabilities = include_str!("../../../docs/capabilities/zookeeper.json");
    Arc::new(Servers { name, software: Software::ZooKeeper, members, timing: timing(), expected, capabilities, dial })
}

fn main() -> ExitCode {
    conformance_tests::run(vec![
        servers("zookeeper-one", 1, include_str!("expected/zookeeper-one.txt")),
        servers("zookeeper-three", 3, include_str!("expected/zookeeper-three.txt")),
    ])
}
