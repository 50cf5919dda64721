//! `cargo xtask tidy`: what no compiler checks.

mod crates;
mod sources;

use crate::command::{Outcome, say};

/// One finding: where, and what is wrong.
pub(crate) type Finding = String;

/// Runs every check and prints all findings.
pub(crate) fn run() -> Outcome {
    let mut findings = sources::check()?;
    findings.extend(crates::check()?);
    for finding in &findings {
        say(finding);
    }
    match findings.len() {
        0 => {
            say("--- tidy: nothing found");
            Ok(())
        }
        count => Err(format!("tidy: {count} findings")),
    }
}
