//! The binary: reads the command line, runs the command, reports its failure.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use scheduler::cli::Cli;
use scheduler::commands;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _unread = writeln!(io::stderr(), "scheduler: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(commands::run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _unread = writeln!(io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}
