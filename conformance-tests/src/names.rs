//! Processes in which a name means what the test says: each has a mount namespace of its own, and there a file of its own
//! as `/etc/hosts`. Linux only; root, or user namespaces, are needed.

use std::ffi::OsString;
use std::future::Future;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry_api::{Effect, Event, Key, RegistryClient, Scope, SessionOptions, Subscription};
use tokio::process::Command;
use tokio::time::Instant;

use crate::{Broken, Outcome};

/// The environment variable that tells a process that it is one of these, and which file is its `/etc/hosts`.
const HOSTS: &str = "REGISTRY_TEST_HOSTS";
/// The longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Makes the file the `/etc/hosts` of the new namespace, and becomes the process.
const ENTER: &str = "mount --bind \"$REGISTRY_TEST_HOSTS\" /etc/hosts && exec \"$0\" \"$@\"";

/// The names of this process.
#[derive(Debug)]
pub struct Names {
    hosts: PathBuf,
    /// What every process of this machine knows.
    common: String,
}

impl Names {
    /// From here on `name` means this address, and none that it meant before.
    pub fn set(&self, name: &str, address: impl Into<IpAddr>) -> Outcome {
        // In place: the file itself is mounted, not its name.
        Ok(std::fs::write(&self.hosts, format!("{}\n{} {name}\n", self.common, address.into()))?)
    }
}

/// Runs the body of `test`, a test of the calling binary by its whole name, in a process of its own with its own names.
/// That process is the same binary, told to run this test only.
pub async fn of_its_own<F>(test: &str, body: impl FnOnce(Names) -> F) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let Some(hosts) = std::env::var_os(HOSTS) else { return run_in_a_namespace(test).await };
    let hosts = PathBuf::from(hosts);
    let common = std::fs::read_to_string(&hosts)?;
    body(Names { hosts: hosts.clone(), common }).await?;
    Ok(std::fs::write(shown(&hosts), "")?)
}

/// The file that says that the body ran to its end: a run of no test at all is no success.
fn shown(hosts: &Path) -> PathBuf {
    hosts.with_extension("shown")
}

async fn run_in_a_namespace(test: &str) -> Outcome {
    let directory = tempfile::TempDir::new()?;
    let hosts = directory.path().join("hosts");
    std::fs::copy("/etc/hosts", &hosts)?;
    let mut flags = vec!["--mount"];
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        flags.push("--map-root-user");
    }
    let exact = ["--exact", "--nocapture"].map(OsString::from);
    let status = Command::new("unshare")
        .args(flags)
        .args(["sh", "-c", ENTER])
        .arg(std::env::current_exe()?)
        .arg(test)
        .args(exact)
        .env(HOSTS, &hosts)
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| Broken::harness(format!("cannot start unshare, of util-linux: {error}")))?;
    if !status.success() {
        return Err(Broken::harness(format!("{test}, in a mount namespace of its own: {status}")));
    }
    match shown(&hosts).exists() {
        true => Ok(()),
        false => Err(Broken::harness(format!("there is no test {test} here"))),
    }
}

/// Shows that a client follows the name that it was given: `away` moves the servers elsewhere, and `renamed` lets the
/// name mean the new address.
pub async fn a_client_follows<A, F>(client: &RegistryClient, away: A, renamed: impl FnOnce() -> Outcome) -> Outcome
where
    A: FnOnce() -> F,
    F: Future<Output = Outcome>,
{
    let key = |text: &str| Key::parse(text);
    let session = client.open_session(SessionOptions::with_ttl(PATIENCE * 2)).await?;
    session.put(&key("/names/ephemeral")?, "").await?;
    let mut subscription = client.subscribe(&Scope::Tree(key("/names")?)).await?;
    away().await?;
    let lost = client.put(&key("/names/lost")?, "").await;
    let Err(error) = lost else { return Err(Broken::harness("the servers are still where they were")) };
    let never = error.effect() == Effect::NotApplied;
    renamed()?;
    let start = Instant::now();
    while let Err(error) = client.put(&key("/names/found")?, "").await {
        if start.elapsed() > PATIENCE {
            return Err(Broken::harness(format!("the client did not follow its name within {PATIENCE:?}: {error}")));
        }
    }
    told(&mut subscription, &key("/names/found")?).await?;
    let kept = client.get(&key("/names/ephemeral")?).await?.and_then(|entry| entry.owner);
    assert_eq!(kept, Some(session.id()), "the owner of an ephemeral key after the move");
    let lost = client.get(&key("/names/lost")?).await?;
    assert!(!never || lost.is_none(), "a put that failed as not applied: {error}");
    Ok(session.close().await?)
}

/// Reads until the put of this key, or a snapshot with it.
async fn told(subscription: &mut Subscription, key: &Key) -> Outcome {
    let until_told = async {
        while let Some(event) = subscription.next().await {
            match event? {
                Event::Put { entry, .. } if entry.key == *key => return Ok(()),
                Event::Snapshot { listing, .. } if listing.entries().any(|entry| entry.key == *key) => {
                    return Ok(());
                }
                _another => {}
            }
        }
        Err(Broken::harness("the subscription ended"))
    };
    tokio::time::timeout(PATIENCE, until_told).await?
}
