//! The conformance suite on this backend: one server of etcd, and three.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use conformance_tests::servers::{Servers, Software};
use conformance_tests::{Harness, LeaderChange, Outcome, Timing};
use futures::FutureExt;
use futures::future::BoxFuture;
use registry_api::Registry;
use registry_etcd::{EtcdRegistry, EtcdSettings};

/// etcd ends leases in rounds of half a second, and looks for those to end as often.
fn timing() -> Timing {
    Timing {
        session_ttl: Duration::from_secs(2),
        late_bound: Duration::from_millis(1500),
        leader_change: LeaderChange::RestartsTtls,
        parallel: 8,
        parallel_apart: 2,
        case_limit: Duration::from_secs(300),
        ..Timing::default()
    }
}

fn dial(endpoints: Vec<String>) -> BoxFuture<'static, Outcome<Arc<dyn Registry>>> {
    async move {
        let registry: Arc<dyn Registry> = Arc::new(EtcdRegistry::connect(EtcdSettings::new(endpoints)?).await?);
        Ok(registry)
    }
    .boxed()
}

fn servers(name: &'static str, members: usize, expected: &'static str) -> Arc<dyn Harness> {
    let capabilities = include_str!("../../../docs/capabilities/etcd.json");
    Arc::new(Servers { name, software: Software::Etcd, members, timing: timing(), expected, capabilities, dial })
}

fn main() -> ExitCode {
    conformance_tests::run(vec![
        servers("etcd-one", 1, include_str!("expected/etcd-one.txt")),
        servers("etcd-three", 3, include_str!("expected/etcd-three.txt")),
    ])
}
