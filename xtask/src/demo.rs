//! `cargo xtask demo`: a whole scheduler as separate processes, with a master and a worker killed in the middle.

mod cluster;
mod observer;
mod report;
mod story;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::command::{Outcome, cargo, root, run, say, target_dir};
use crate::servers::{Servers, Software};
use cluster::{Cluster, Ground, Ports};

/// A run takes half a minute; a busy machine several times as long.
const TIMEOUT_SECONDS: u64 = 300;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What the scheduler keeps its state in. For `zookeeper` and `etcd`, three servers are started in containers first
    /// (with docker, from the images of `cargo xtask images`), with their default settings; they are removed at
    /// the end, also after a failure or Ctrl-C. What happens then is the same for every backend.
    #[arg(long, value_enum, default_value_t = Backend::Raft)]
    backend: Backend,
    /// Leaves everything running afterwards, for a look at the page, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Gives up after so many seconds.
    #[arg(long, default_value_t = TIMEOUT_SECONDS)]
    timeout: u64,
    /// Also writes the figures of the run as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Backend {
    /// The masters embed the registry: no servers.
    Raft,
    /// An ensemble of three ZooKeeper servers.
    Zookeeper,
    /// A cluster of three etcd servers.
    Etcd,
}

impl Backend {
    fn servers(self) -> Result<Option<Servers>, String> {
        match self {
            Self::Raft => Ok(None),
            Self::Zookeeper => Servers::start(Software::ZooKeeper).map(Some),
            Self::Etcd => Servers::start(Software::Etcd).map(Some),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { backend: Backend::Raft, keep: false, timeout: TIMEOUT_SECONDS, report: None }
    }
}

pub(crate) fn show(options: &Options) -> Outcome {
    run("build", &mut cargo(["build", "--locked", "--package", "scheduler"]))?;
    let binary = root().join(target_dir()).join("debug/scheduler");
    let directory = tempfile::Builder::new()
        .prefix("registry-demo-")
        .tempdir()
        .map_err(|error| format!("cannot make a temporary directory: {error}"))?;
    // Outlives the processes: what is declared first is dropped last.
    let servers = options.backend.servers()?;
    let ground = match &servers {
        Some(servers) => Ground { backend: servers.name(), section: servers.section() },
        None => Ground { backend: "raft", section: String::new() },
    };
    let mut cluster = Cluster::start(&binary, directory.path(), Ports::free()?, ground)?;
    let told = story::tell(&mut cluster, Duration::from_secs(options.timeout));
    if let Ok(figures) = &told {
        report::print(figures);
        if let Some(path) = &options.report {
            report::write(figures, path)?;
        }
    } else {
        let kept = directory.keep();
        say(&format!("the logs of all processes are in {}", kept.display()));
        return told.map(drop);
    }
    say(&format!("the page: {}", cluster.page()));
    if options.keep {
        say(&format!("everything stays as it is in {}; Ctrl-C ends it", directory.path().display()));
        cluster.wait();
    }
    cluster.stop();
    told?.verdict()
}
