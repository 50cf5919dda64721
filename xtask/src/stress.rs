//! `cargo xtask stress`: the same tests again and again, to find the race that one run does not show.

use std::num::NonZeroU32;

use clap::Args;

use crate::command::{Outcome, cargo, run};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this.
    filter: String,
    /// How often.
    #[arg(long, default_value = "20")]
    times: NonZeroU32,
    /// Only the tests of this package.
    #[arg(long)]
    package: Option<String>,
}

pub(crate) fn run_repeatedly(options: &Options) -> Outcome {
    for round in 1..=options.times.get() {
        let mut command = cargo(["test", "--locked"]);
        match &options.package {
            Some(package) => command.args(["--package", package]),
            None => command.arg("--workspace"),
        };
        command.arg(&options.filter);
        run(&format!("round {round} of {}", options.times), &mut command)?;
    }
    Ok(())
}
