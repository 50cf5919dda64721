//! Figures of three members as separate processes on loopback, durable: throughput, failover, memory, calm under load.
//!
//! Run with `cargo xtask bench`. Absolute figures mean little on a shared machine; they are for comparing two builds on
//! the same machine.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measuring program: it stops loudly and prints"
)]

mod calm;
mod failover;
#[path = "../../tests/processes/fleet.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod fleet;
mod load;
#[path = "../../tests/processes/member.rs"]
mod member;
mod memory;

use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::load::Load;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    row: Row,
}

#[derive(Debug, Subcommand)]
enum Row {
    /// Puts of 256 bytes by 1, 16, 64 and 256 concurrent callers.
    Put {
        /// How long each row is measured, in seconds.
        #[arg(long, default_value = "5")]
        seconds: u64,
        /// Only the rows of so many callers.
        #[arg(long)]
        callers: Option<usize>,
    },
    /// Linearizable gets of such a value by as many callers.
    Get {
        /// How long each row is measured, in seconds.
        #[arg(long, default_value = "5")]
        seconds: u64,
        /// Only the rows of so many callers.
        #[arg(long)]
        callers: Option<usize>,
    },
    /// From kill -9 of the leader to the next successful put.
    Failover {
        #[arg(long, default_value = "20")]
        repeats: usize,
    },
    /// Memory of a member, idle and with 100 000 keys of 256 bytes.
    Memory,
    /// Elections while both the members and busy loops compete for every core.
    Calm {
        #[arg(long, default_value = "600")]
        seconds: u64,
    },
}

fn main() {
    if let Some(config) = std::env::var_os(member::CONFIG_VARIABLE) {
        return member::run(&config);
    }
    let row = Arguments::parse().row;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match row {
            Row::Put { seconds, callers } => load::measure(Load::Put, callers, Duration::from_secs(seconds)).await,
            Row::Get { seconds, callers } => load::measure(Load::Get, callers, Duration::from_secs(seconds)).await,
            Row::Failover { repeats } => failover::measure(repeats).await,
            Row::Memory => memory::measure().await,
            Row::Calm { seconds } => calm::measure(Duration::from_secs(seconds)).await,
        }
    });
}

/// The value at `share` (0 to 1) of the sorted `values`.
fn quantile(values: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = ((values.len().saturating_sub(1)) as f64 * share).round() as usize;
    values.get(index).copied().unwrap_or_default()
}
