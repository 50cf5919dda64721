//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::ledger::Token;
use crate::name::Name;

/// A workflow scheduler whose masters need no external coordination service.
#[derive(Debug, Parser)]
#[command(name = "scheduler", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Plans workflows; embeds a member of the registry with the raft backend.
    Master(Connect),
    /// Runs tasks.
    Worker(Connect),
    /// Serves JSON and the page.
    Api(Connect),
    /// Stores a workflow, starts one instance of it and prints the instance's name.
    Submit(Submit),
    /// Shows members, workers, instances and the dead list.
    Status(Status),
    /// Asks for the cancellation of an instance.
    Cancel(Cancel),
    /// Validates a workflow file; needs no registry.
    Check(Check),
    /// Records effects once.
    #[command(subcommand)]
    Ledger(Ledger),
}

/// How to connect, and who connects.
#[derive(Clone, Debug, Default, Args)]
pub struct Connect {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One configuration key, such as registry.raft.node=2; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Name of this process, unique in its role (scheduler.name).
    #[arg(long)]
    pub name: Option<String>,
    /// How lines are logged on stderr.
    #[command(flatten)]
    pub log: Log,
}

/// How lines are logged on stderr.
#[derive(Clone, Debug, Default, Args)]
pub struct Log {
    /// Level, or a filter of the tracing crate. Default: info for roles, warn for commands.
    #[arg(long = "log", value_name = "FILTER", env = "SCHEDULER_LOG")]
    pub filter: Option<String>,
    /// Format of the lines.
    #[arg(long = "log-format", value_enum, default_value_t)]
    pub format: LogFormat,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Submits a workflow.
#[derive(Debug, Args)]
pub struct Submit {
    /// The workflow file (TOML).
    pub workflow: PathBuf,
    /// Return when the instance has ended: 0 if it succeeded, else 1.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait.
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// How to connect.
    #[command(flatten)]
    pub connect: Connect,
}

/// Shows the state.
#[derive(Debug, Args)]
pub struct Status {
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
    /// How to connect.
    #[command(flatten)]
    pub connect: Connect,
}

/// Cancels an instance.
#[derive(Debug, Args)]
pub struct Cancel {
    /// The instance.
    pub instance: Name,
    /// How to connect.
    #[command(flatten)]
    pub connect: Connect,
}

/// Validates a file.
#[derive(Debug, Args)]
pub struct Check {
    /// The workflow file (TOML).
    pub workflow: PathBuf,
}

/// Records effects once.
#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Records the effect of a task's attempt.
    Append(Append),
    /// Proves that a ledger holds every effect once.
    Check(Audit),
}

/// Records one effect.
#[derive(Debug, Args)]
pub struct Append {
    /// The ledger file.
    #[arg(long, env = "LEDGER_FILE", default_value = "ledger.jsonl")]
    pub file: PathBuf,
    /// Names the effect.
    #[arg(long)]
    pub resource: String,
    /// The fencing token of the attempt.
    #[arg(long, env = "FENCING_TOKEN")]
    pub token: Token,
    /// The number of the attempt, for people.
    #[arg(long, env = "ATTEMPT")]
    pub attempt: Option<u32>,
    /// The worker, for people.
    #[arg(long, env = "WORKER")]
    pub worker: Option<String>,
}

/// Proves a ledger.
#[derive(Debug, Args)]
pub struct Audit {
    /// The ledger file.
    #[arg(long, env = "LEDGER_FILE", default_value = "ledger.jsonl")]
    pub file: PathBuf,
    /// How many effects there must be.
    #[arg(long)]
    pub expect: Option<usize>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
