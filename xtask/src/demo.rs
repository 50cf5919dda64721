//! `cargo xtask demo`: a whole scheduler as separate processes, with a master and a worker killed in the middle.

mod cluster;
mod observer;
mod report;
mod story;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::command::{Outcome, cargo, root, run, say};
use cluster::{Cluster, Ports};

/// A run takes half a minute; a busy machine several times as long.
const TIMEOUT_SECONDS: u64 = 300;

#[derive(Debug, Args)]
pub(crate) struct Options {
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

impl Default for Options {
    fn default() -> Self {
        Self { keep: false, timeout: TIMEOUT_SECONDS, report: None }
    }
}

pub(crate) fn show(options: &Options) -> Outcome {
    run("build", &mut cargo(["build", "--locked", "--package", "scheduler"]))?;
    let binary = root().join(target_dir()).join("debug/scheduler");
    let directory = tempfile::Builder::new()
        .prefix("registry-demo-")
        .tempdir()
        .map_err(|error| format!("cannot make a temporary directory: {error}"))?;
    let mut cluster = Cluster::start(&binary, directory.path(), Ports::free()?)?;
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

fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}
