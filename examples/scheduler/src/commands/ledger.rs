//! The ledger commands.

use super::say;
use crate::cli::{Append, Audit, Ledger as Command};
use crate::exit::{Code, Failure};
use crate::ledger::{self, Kind, Ledger, LedgerError, Line};

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Append(append) => record(append),
        Command::Check(audit) => check(&audit),
    }
}

fn record(command: Append) -> Result<(), Failure> {
    let Append { file, resource, token, attempt, worker } = command;
    let line = Line { kind: Kind::Effect, resource, token, attempt, worker };
    let (resource, token) = (line.resource.clone(), line.token);
    match Ledger::open(&file)?.append(line)? {
        Kind::Effect => say(&format!("effect: {resource}")),
        Kind::Confirmed => say(&format!("confirmed: {resource}, an earlier attempt had the effect")),
        Kind::Refused => {
            let message = format!("refused: {resource}, the token {token} is stale: a later attempt has been here");
            Err(Failure::new(Code::StaleToken, message))
        }
    }
}

fn check(command: &Audit) -> Result<(), Failure> {
    let bad = |error: ledger::AuditError| Failure::new(Code::Failed, error.to_string());
    let audit = ledger::Audit::of(&Ledger::read(&command.file)?).map_err(bad)?;
    if command.json {
        say(&serde_json::to_string(&audit).unwrap_or_default())?;
        return audit.verdict(command.expect).map_err(bad);
    }
    audit.verdict(command.expect).map_err(bad)?;
    say(&format!("ok: {audit}"))
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::new(Code::Io, error.to_string())
    }
}
