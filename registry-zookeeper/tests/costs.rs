//! How many requests operations take, counted by the server: as many on every machine. Needs Docker.

use std::sync::Arc;

use conformance_tests::Outcome;
use conformance_tests::servers::{Server, Software};
use registry_api::{Key, LockName, LockWait, ReadLevel, RegistryClient};
use registry_zookeeper::{ZooKeeperRegistry, ZooKeeperSettings};

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_takes_more_requests_than_it_needs() -> Outcome {
    let server = Server::start(Software::ZooKeeper).await?;
    let settings = ZooKeeperSettings::at(&server.address()?)?;
    let client = RegistryClient::new(Arc::new(ZooKeeperRegistry::connect(settings).await?));
    let session = client.open_session(client.session_options()).await?;
    let (key, other): (Key, Key) = ("/a/key/far/below/the/root".parse()?, "/a/key/that/comes/and/goes".parse()?);
    let lock: LockName = "/a/lock".parse()?;
    // The parent of what comes and goes is not one that is removed meanwhile.
    client.put(&"/a/key/that/comes/and/stays".parse()?, "here").await?;

    let put = server.requests_of(async || Ok(client.put(&key, "value").await.map(drop)?)).await?;
    let get = server.requests_of(async || Ok(client.get(&key).await.map(drop)?)).await?;
    let stale = server.requests_of(async || Ok(client.lookup(&key, ReadLevel::Stale).await.map(drop)?)).await?;
    let ephemeral = async || {
        session.put(&other, "here").await?;
        Ok(client.delete(&other).await.map(drop)?)
    };
    let ephemeral = server.requests_of(ephemeral).await?;
    let held = async || Ok(session.lock(&lock, LockWait::Forever).await?.release().await?);
    let held = server.requests_of(held).await?;
    let guard = session.lock(&lock, LockWait::Forever).await?;
    let guarded = server.requests_of(async || Ok(guard.put(&key, "value").await.map(drop)?)).await?;

    let taken = [put, get, stale, ephemeral, held, guarded];
    assert_eq!(
        taken,
        [3, 2, 1, 8, 3, 3],
        "put, get, stale get, ephemeral put and delete, lock and release, guarded put"
    );
    Ok(())
}
