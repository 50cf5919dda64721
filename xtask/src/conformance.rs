//! `cargo xtask conformance`: the suite on one backend.

use clap::{Args, ValueEnum};

use crate::command::{Outcome, cargo, run};
use crate::images::{self, Release};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which backend.
    backend: Backend,
    /// Only cases whose name contains this.
    filter: Option<String>,
    /// The Debian release that servers of ZooKeeper and etcd come from.
    #[arg(long, default_value = "trixie")]
    release: Release,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Backend {
    /// The in-process reference.
    Memory,
    /// The embedded backend: one, three and five members, and the remote client.
    Raft,
    /// One and three servers of ZooKeeper.
    Zookeeper,
    /// One and three servers of etcd.
    Etcd,
    /// The reference with one promise broken at a time: each must be caught by its case.
    Saboteurs,
}

pub(crate) fn run_suite(options: &Options) -> Outcome {
    let (package, target) = match options.backend {
        Backend::Memory => ("conformance-tests", "memory"),
        Backend::Raft => ("registry-raft", "conformance"),
        Backend::Zookeeper => ("registry-zookeeper", "conformance"),
        Backend::Etcd => ("registry-etcd", "conformance"),
        Backend::Saboteurs => ("conformance-tests", "saboteurs"),
    };
    if matches!(options.backend, Backend::Zookeeper | Backend::Etcd) {
        images::build_servers(options.release)?;
    }
    let mut command = cargo(["test", "--locked", "--package", package, "--test", target, "--"]);
    command.env(Release::VARIABLE, options.release.suite());
    command.args(&options.filter);
    run(&format!("conformance: {package}"), &mut command)
}
