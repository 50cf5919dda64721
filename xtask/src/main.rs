//! The project's own tasks, run as `cargo xtask <task>`.

mod bench;
mod command;
mod conformance;
mod demo;
mod images;
mod servers;
mod stress;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Everything a change must pass: format, lints, tidy, every test, the conformance suite, one run of the demo.
    Test,
    /// A whole scheduler as separate processes, on any backend: a master and a worker are killed, the work is done exactly once.
    Demo(demo::Options),
    /// Measures three durable members beside three servers of ZooKeeper and of etcd: throughput, latency, cost, failover.
    Bench(bench::Options),
    /// Checks what no compiler checks: sizes, names, sleeps in tests, who depends on whom.
    Tidy,
    /// Formats, writes the table of capabilities, and applies what clippy can fix by itself.
    Fix,
    /// Runs the conformance suite on one backend.
    Conformance(conformance::Options),
    /// Builds the images of the servers that the tests start.
    Images(images::Options),
    /// Repeats the tests whose names match, until one fails.
    Stress(stress::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Test => test::run_all(),
        Task::Demo(options) => demo::show(&options),
        Task::Bench(options) => bench::measure(&options),
        Task::Tidy => tidy::run(),
        Task::Fix => test::fix(),
        Task::Conformance(options) => conformance::run_suite(&options),
        Task::Images(options) => images::build(&options),
        Task::Stress(options) => stress::run_repeatedly(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            command::say(&format!("failed: {failure}"));
            ExitCode::FAILURE
        }
    }
}
