//! A short tour of the contract, for tests of the way to the servers: whoever is let in can use all of it.

use std::future::Future;
use std::time::Duration;

use registry_api::{Event, Key, LockName, LockWait, RegistryClient, Scope, SessionOptions, Subscription};

use crate::{Broken, Outcome};

/// The longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Uses keys, a subscription, sessions and a lock, all at and below `root`; `other` is another client of the same servers.
///
/// # Errors
///
/// The first thing that is not as the contract says.
pub async fn tour(root: &Key, client: &RegistryClient, other: &RegistryClient) -> Outcome {
    let key = |segment: &str| Key::parse(&format!("{root}/{segment}"));
    let mut subscription = other.subscribe(&Scope::Tree(root.clone())).await?;
    client.put(&key("a")?, "one").await?;
    let read = other.get(&key("a")?).await?.map(|entry| entry.value);
    if read.as_deref() != Some(b"one") {
        return Err(Broken::harness(format!("another client reads {read:?} of a key that was put")));
    }
    until(&mut subscription, |event| shows(event, &root_key(root, "a"))).await?;

    let session = client.open_session(SessionOptions::default()).await?;
    session.put(&key("e")?, "").await?;
    until(&mut subscription, |event| shows(event, &root_key(root, "e"))).await?;
    let name = LockName::parse(root.as_str())?;
    let guard = session.lock(&name, LockWait::Try).await?;
    guard.put(&key("guarded")?, "").await?;
    let rival = other.open_session(SessionOptions::default()).await?;
    if rival.lock(&name, LockWait::Try).await.is_ok() {
        return Err(Broken::harness("a lock that is held was given"));
    }
    let (held, released) = tokio::join!(soon(rival.lock(&name, LockWait::Forever)), guard.release());
    released?;
    held??.release().await?;

    session.close().await?;
    let end =
        |event: &Event| matches!(event, Event::Delete { previous, .. } if previous.key.as_str() == root_key(root, "e"));
    until(&mut subscription, end).await?;
    Ok(rival.close().await?)
}

fn root_key(root: &Key, segment: &str) -> String {
    format!("{root}/{segment}")
}

fn shows(event: &Event, key: &str) -> bool {
    match event {
        Event::Put { entry, .. } => entry.key.as_str() == key,
        Event::Snapshot { listing, .. } => listing.entries().any(|entry| entry.key.as_str() == key),
        _another => false,
    }
}

async fn soon<T>(event: impl Future<Output = T>) -> Outcome<T> {
    Ok(tokio::time::timeout(PATIENCE, event).await?)
}

/// Reads events until one is wanted.
async fn until(subscription: &mut Subscription, wanted: impl Fn(&Event) -> bool) -> Outcome {
    soon(async {
        while let Some(event) = subscription.next().await {
            if wanted(&event?) {
                return Ok(());
            }
        }
        Err(Broken::harness("the subscription ended"))
    })
    .await?
}
