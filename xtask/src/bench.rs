//! `cargo xtask bench`: starts the servers to compare with, and the program that measures.

use std::fs;
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};

use crate::command::{Outcome, cargo, root, run, target_dir};
use crate::servers::{Servers, Software};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these workloads: W1 to W16, calm. `docs/performance.md` says what they are.
    #[arg(long)]
    only: Option<String>,
    /// Only the cases whose line, such as "W15 put during snapshots, 1000000 keys", contains this.
    #[arg(long)]
    case: Option<String>,
    /// Short runs of the cases that tell most, once each: a look in less than five minutes, not a judgement.
    #[arg(long)]
    quick: bool,
    /// The systems to compare with; they run in containers.
    #[arg(long, value_delimiter = ',', default_values_t = [Peer::Zookeeper, Peer::Etcd], value_enum)]
    peers: Vec<Peer>,
    /// How often each case is run on each system.
    #[arg(long, default_value_t = 3)]
    repeats: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Peer {
    /// Nobody: the figures of the members alone.
    None,
    /// Three servers of ZooKeeper.
    Zookeeper,
    /// Three servers of etcd.
    Etcd,
}

pub(crate) fn measure(options: &Options) -> Outcome {
    run("build", &mut cargo(["build", "--locked", "--release", "--package", "registry-bench"]))?;
    // What is asked for is looked at before servers are started for it.
    run("cases", program("cases", options).stdout(Stdio::null()))?;
    let mut peers = Vec::new();
    for peer in &options.peers {
        match peer {
            Peer::None => {}
            Peer::Zookeeper => peers.push(Servers::start_on_host(Software::ZooKeeper)?),
            Peer::Etcd => peers.push(Servers::start_on_host(Software::Etcd)?),
        }
    }
    let out = root().join(target_dir()).join("bench");
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let described = out.join("peers.json");
    let descriptions: Vec<_> = peers.iter().map(Servers::description).collect();
    let text = serde_json::to_string_pretty(&descriptions).map_err(|error| error.to_string())?;
    fs::write(&described, text).map_err(|error| format!("{}: {error}", described.display()))?;
    let mut command = program("drive", options);
    command.arg("--peers").arg(described).arg("--data").arg(out.join("data")).arg("--out").arg(out);
    command.arg("--repeats").arg(options.repeats.to_string());
    run("bench", &mut command)
}

/// The program that measures, and what is chosen of it.
fn program(role: &str, options: &Options) -> Command {
    let mut command = Command::new(root().join(target_dir()).join("release/registry-bench"));
    command.arg(role);
    if options.quick {
        command.arg("--quick");
    }
    if let Some(only) = &options.only {
        command.arg("--only").arg(only);
    }
    if let Some(case) = &options.case {
        command.arg("--case").arg(case);
    }
    command
}
