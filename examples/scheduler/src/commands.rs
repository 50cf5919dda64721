//! What the command line asks for, carried out.

mod ledger;
mod once;
mod role;

use std::io::{self, Write};

use crate::cli::Command;
use crate::config::Process;
use crate::exit::{Code, Failure};

/// Carries a command out.
///
/// # Errors
///
/// [`Failure`]: what to tell, and the exit code.
pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Master(connect) => role::run(Process::Master, connect).await,
        Command::Worker(connect) => role::run(Process::Worker, connect).await,
        Command::Api(connect) => role::run(Process::Api, connect).await,
        Command::Submit(submit) => once::submit(submit).await,
        Command::Status(status) => once::status(status).await,
        Command::Cancel(cancel) => once::cancel(cancel).await,
        Command::Check(check) => once::check(&check),
        Command::Ledger(ledger) => ledger::run(ledger),
    }
}

/// The filter of log lines where none is asked for. The consensus library tells every step of an election; the backend
/// tells its result.
fn default_filter(process: Process) -> &'static str {
    match process {
        Process::Command => "warn,openraft=error",
        Process::Master | Process::Worker | Process::Api => "info,openraft=warn",
    }
}

/// Writes a line to stdout; a reader that is gone is no failure.
fn say(line: &str) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::Io, format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}
