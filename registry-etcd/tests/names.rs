//! Names are resolved again on every dial. Needs Docker, and a mount namespace (see `conformance_tests::names`).

use std::net::Ipv4Addr;
use std::sync::Arc;

use conformance_tests::servers::{Server, Software};
use conformance_tests::{Broken, Outcome, names};
use registry_api::RegistryClient;
use registry_etcd::{EtcdRegistry, EtcdSettings};

/// What the client is given.
const NAME: &str = "server.registry.test";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_follows_the_name_of_its_server() -> Outcome {
    names::of_its_own("a_client_follows_the_name_of_its_server", |names| async move {
        let server = Server::start(Software::Etcd).await?;
        let (host, port) = (Ipv4Addr::new(127, 0, 0, 2), port(&server)?);
        server.move_to(host).await?;
        names.set(NAME, host)?;
        let settings = EtcdSettings::new([format!("{NAME}:{port}")])?;
        let client = RegistryClient::new(Arc::new(EtcdRegistry::connect(settings).await?));
        let elsewhere = Ipv4Addr::new(127, 0, 0, 3);
        names::a_client_follows(&client, || server.move_to(elsewhere), || names.set(NAME, elsewhere)).await
    })
    .await
}

fn port(server: &Server) -> Outcome<String> {
    let address = server.address()?;
    let port = address.rsplit_once(':').map(|(_host, port)| port.to_owned());
    port.ok_or_else(|| Broken::harness(format!("{address} has no port")))
}
