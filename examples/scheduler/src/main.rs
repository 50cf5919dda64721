//! The binary: reads the command line, runs the command, reports its failure.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use scheduler::cli::Cli;
use scheduler::commands;

/// How long threads of the runtime may take to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _unread = writeln!(io::stderr(), "scheduler: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(commands::run(cli.command));
    // A thread that still waits for the disk or for a name does not keep the process.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _unread = writeln!(io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}
