//! `cargo xtask bench`: figures of three members on this machine.

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
}

pub(crate) fn measure(options: &Options) -> Outcome {
    let build = ["build", "--locked", "--release", "--package", "registry-raft", "--example", "figures"];
    run("build", &mut cargo(build))?;
    say(&format!("load average before: {}", load_average()));
    for row in Row::value_variants().iter().filter(|row| options.only.is_empty() || options.only.contains(row)) {
        let name = format!("{row:?}").to_lowercase();
        let figures =
            ["run", "--quiet", "--locked", "--release", "--package", "registry-raft", "--example", "figures", "--"];
        run(&name, cargo(figures).arg(&name))?;
    }
    Ok(())
}

fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").map_or_else(|_unknown| "unknown".to_owned(), |text| text.trim().to_owned())
}
