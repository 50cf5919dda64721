//! How many requests operations take. Needs Docker.

use std::sync::Arc;

use conformance_tests::Outcome;
use conformance_tests::servers::{Requests, Server, Software};
use registry_api::RegistryClient;
use registry_zookeeper::{ZooKeeperRegistry, ZooKeeperSettings};

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_takes_more_requests_than_it_needs() -> Outcome {
    let server = Server::start(Software::ZooKeeper).await?;
    let registry = ZooKeeperRegistry::connect(ZooKeeperSettings::at(&server.address()?)?).await?;
    let taken = Requests::count(&server, &RegistryClient::new(Arc::new(registry))).await?;
    let wanted = Requests { put: 3, put_of_parent: 3, get: 2, stale_get: 1, ephemeral: 8, lock: 3, guarded_put: 3 };
    assert_eq!(taken, wanted);
    Ok(())
}
