//! Measures the backends of the registry side by side. `cargo xtask bench` starts it; `docs/performance.md` says how to
//! read what it prints.

mod cluster;
mod drive;
mod holder;
mod load;
mod member;
mod probe;
mod raw;
mod report;
mod row;
mod same_steps;
mod store;
mod usage;
mod workload;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A figure, or one line that says why there is none.
pub(crate) type Outcome<T> = Result<T, String>;

/// Measures the backends of the registry side by side.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// A member of the raft backend, until it is killed.
    Member {
        /// Its configuration.
        config: PathBuf,
    },
    /// Holds sessions open, until it is killed.
    Hold(holder::Options),
    /// Names the cases that `drive` would run.
    Cases(drive::Choice),
    /// Runs the workloads, and reports.
    Drive(drive::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().role {
        Role::Member { config } => member::run(&config).await,
        Role::Hold(options) => holder::run(&options).await,
        Role::Cases(choice) => drive::list(&choice),
        Role::Drive(options) => drive::run(&options).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("failed: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints one line of progress for the person who waits.
#[expect(clippy::print_stderr, reason = "a program of the command line")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// Prints what was asked for.
#[expect(clippy::print_stdout, reason = "a program of the command line")]
pub(crate) fn print(text: &str) {
    println!("{text}");
}

/// An error as its line.
pub(crate) fn line(error: impl Display) -> String {
    error.to_string()
}
