//! The conformance suite on this backend: embedded members, and members as processes with remote clients.

mod embedded;
mod fleet;
mod link;
mod member;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use conformance_tests::{Harness, LeaderChange, Timing};

use crate::embedded::Embedded;
use crate::fleet::Processes;

/// The durations of the backend where members and clients share a small machine that has other things to do as well: a
/// heartbeat may take the better part of a second there.
fn timing() -> Timing {
    Timing {
        session_ttl: Duration::from_secs(2),
        leader_change: LeaderChange::RestartsTtls,
        parallel: 8,
        case_limit: Duration::from_secs(300),
        ..Timing::default()
    }
}

fn main() -> ExitCode {
    if let Some(config) = std::env::var_os(member::CONFIG_VARIABLE) {
        return member::run(&config);
    }
    let harnesses: Vec<Arc<dyn Harness>> = vec![
        Arc::new(Embedded::ONE),
        Arc::new(Embedded::THREE),
        Arc::new(Processes::ONE),
        Arc::new(Processes::THREE),
        Arc::new(Processes::FIVE),
    ];
    conformance_tests::run(harnesses)
}
