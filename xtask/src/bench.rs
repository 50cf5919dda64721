//! `cargo xtask bench`: figures of three members, and of idle sessions on every backend, on this machine.

mod idle;

use clap::{Args, ValueEnum};

use crate::command::{Outcome, cargo, run, say};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these rows.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Row {
    /// Puts by 1, 16, 64 and 256 callers.
    Put,
    /// From kill -9 of the leader to the next successful put, 20 times.
    Failover,
    /// Memory of a member, idle and with 100 000 keys.
    Memory,
    /// Ten minutes of full load without an election.
    Calm,
    /// Requests that the servers of each backend take for 100 idle sessions (starts ZooKeeper and etcd in containers).
    Idle,
}

pub(crate) fn measure(options: &Options) -> Outcome {
    say(&format!("load average before: {}", load_average()));
    for row in Row::value_variants().iter().filter(|row| options.only.is_empty() || options.only.contains(row)) {
        match row {
            Row::Put | Row::Failover | Row::Memory | Row::Calm => of_members(*row)?,
            Row::Idle => idle::measure()?,
        }
    }
    Ok(())
}

/// A row of the example `figures`: three durable members, built for release.
fn of_members(row: Row) -> Outcome {
    let name = format!("{row:?}").to_lowercase();
    let figures =
        ["run", "--quiet", "--locked", "--release", "--package", "registry-raft", "--example", "figures", "--"];
    run(&name, cargo(figures).arg(&name))
}

fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").map_or_else(|_unknown| "unknown".to_owned(), |text| text.trim().to_owned())
}
