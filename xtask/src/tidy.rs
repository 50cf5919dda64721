//! `cargo xtask tidy`: what no compiler checks.

mod capabilities;
mod crates;
mod sources;

use crate::command::{Outcome, say};

pub(crate) use capabilities::rewrite as rewrite_capabilities;

/// One finding: where, and what is wrong.
pub(crate) type Finding = String;

/// Runs every check and prints all findings.
pub(crate) fn run() -> Outcome {
    let mut findings = sources::check()?;
    findings.extend(crates::check()?);
    findings.extend(capabilities::check()?);
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
