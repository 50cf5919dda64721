//! What this process has at Docker: names of its own, and nothing that is left behind.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::OnceCell;

use crate::{Broken, Outcome};

/// The label of every container; its value names the process that owns it.
pub(super) const LABEL: &str = "registry-test";

/// This process, as containers and networks name their owner: its id, and when it started.
static OWNER: LazyLock<String> = LazyLock::new(|| {
    let id = std::process::id();
    format!("{id}-{}", started(id).unwrap_or_default())
});

/// Who owns what this process starts.
pub(super) fn owner() -> &'static str {
    &OWNER
}

/// The name of a network or container that nobody else has.
pub(super) fn fresh_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{LABEL}-{}-{}", owner(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Docker, once it answered. The first call removes what runs before this one left behind, and sees to it that nothing
/// stays when this process is asked to end.
pub(super) async fn docker() -> Outcome<Docker> {
    static READY: OnceCell<Docker> = OnceCell::const_new();
    READY.get_or_try_init(prepare).await.cloned()
}

async fn prepare() -> Outcome<Docker> {
    let refused = |error: &dyn std::fmt::Display| {
        Broken::harness(format!(
            "Docker does not answer ({error}): start it, or give the addresses of running servers in the environment"
        ))
    };
    let docker = testcontainers::core::client::docker_client_instance().await.map_err(|error| refused(&error))?;
    docker.ping().await.map_err(|error| refused(&error))?;
    remove(&docker, |owner| !is_alive(owner)).await?;
    std::thread::Builder::new().name("servers-cleaner".to_owned()).spawn(clean_up_when_asked_to_end)?;
    Ok(docker)
}

/// Waits for SIGTERM or Ctrl-C, removes what this process owns, and ends it. On a thread and a runtime of its own: those
/// of the tests come and go.
fn clean_up_when_asked_to_end() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let number = runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let number = tokio::select! {
            _ = terminated.recv() => SignalKind::terminate(),
            _ = interrupted.recv() => SignalKind::interrupt(),
        };
        // The process ends either way; the next run removes what is left.
        if let Ok(docker) = testcontainers::core::client::docker_client_instance().await {
            let _ = remove(&docker, |name| name == owner()).await;
        }
        Ok::<_, Broken>(number)
    })?;
    std::process::exit(128 + number.as_raw_value());
}

/// Removes the containers and networks of these owners.
async fn remove(docker: &Docker, of: impl Fn(&str) -> bool) -> Outcome {
    let labelled = HashMap::from([("label", vec![LABEL])]);
    let every = ListContainersOptionsBuilder::new().all(true).filters(&labelled).build();
    for container in docker.list_containers(Some(every)).await? {
        let owner = container.labels.as_ref().and_then(|labels| labels.get(LABEL));
        if let (Some(id), Some(owner)) = (&container.id, owner)
            && of(owner)
        {
            let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            // Its owner or another run may be removing it, too.
            let _ = docker.remove_container(id, Some(force)).await;
        }
    }
    let named = HashMap::from([("name", vec![LABEL])]);
    let every = ListNetworksOptionsBuilder::new().filters(&named).build();
    for network in docker.list_networks(Some(every)).await? {
        let name = network.name.unwrap_or_default();
        if owner_of(&name).is_some_and(&of) {
            let _ = docker.remove_network(&name).await;
        }
    }
    Ok(())
}

/// The owner in a [`fresh_name`].
fn owner_of(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(LABEL)?.strip_prefix('-')?;
    rest.rsplit_once('-').map(|(owner, _number)| owner)
}

/// Whether the process still runs. Where that cannot be seen, it counts as alive.
fn is_alive(owner: &str) -> bool {
    let Some((id, start)) = owner.split_once('-') else { return true };
    let (Ok(id), Ok(start)) = (id.parse::<u32>(), start.parse::<u64>()) else { return true };
    start == 0 || started(id) == Some(start)
}

/// When a process of this machine started, in ticks since the boot: an id alone may be given again.
fn started(id: u32) -> Option<u64> {
    let line = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program, in parentheses, may contain anything; the 20th field after it is the start.
    line.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}
