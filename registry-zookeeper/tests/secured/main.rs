//! TLS and credentials, against servers of ZooKeeper that ask for them. Needs Docker.

mod credentials;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::{Broken, Outcome};
use registry_api::{Effect, Error, RegistryClient};
use registry_zookeeper::{ZooKeeperRegistry, ZooKeeperSettings};
use tokio::time::Instant;

/// How long connecting may take where it is refused.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// What a loaded machine adds.
const SLACK: Duration = Duration::from_secs(2);

async fn connected(settings: ZooKeeperSettings) -> Outcome<RegistryClient> {
    Ok(RegistryClient::new(Arc::new(ZooKeeperRegistry::connect(settings).await?)))
}

/// The refusal to connect: in time, in one line, and nothing was applied.
async fn refused(settings: ZooKeeperSettings) -> Outcome<Error> {
    let start = Instant::now();
    let settings = ZooKeeperSettings { connect_timeout: CONNECT_TIMEOUT, ..settings };
    let Err(error) = ZooKeeperRegistry::connect(settings).await else {
        return Err(Broken::harness("a client was let in that had to be refused"));
    };
    let (took, text) = (start.elapsed(), error.to_string());
    assert!(took < CONNECT_TIMEOUT + SLACK, "refused after {took:?}: {text}");
    assert_eq!((error.effect(), text.lines().count()), (Effect::NotApplied, 1), "{text}");
    Ok(error)
}

/// That a line says this.
fn says(error: &Error, what: &str) {
    let text = error.to_string();
    assert!(text.contains(what), "{what:?} is not said: {text}");
}
