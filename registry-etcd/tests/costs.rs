//! How many requests operations take. Needs Docker.

use std::sync::Arc;

use conformance_tests::Outcome;
use conformance_tests::servers::{Requests, Server, Software};
use registry_api::RegistryClient;
use registry_etcd::{EtcdRegistry, EtcdSettings};

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_takes_more_requests_than_it_needs() -> Outcome {
    let server = Server::start(Software::Etcd).await?;
    let registry = EtcdRegistry::connect(EtcdSettings::new([server.address()?])?).await?;
    let taken = Requests::count(&server, &RegistryClient::new(Arc::new(registry))).await?;
    let wanted = Requests { put: 1, put_of_parent: 1, get: 1, stale_get: 1, ephemeral: 2, lock: 3, guarded_put: 1 };
    assert_eq!(taken, wanted);
    Ok(())
}
