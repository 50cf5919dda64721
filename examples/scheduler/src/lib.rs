//! A workflow scheduler in three roles: masters plan, workers run, API servers show. All of its state is in a registry.

pub mod cli;
pub mod clock;
pub mod config;
pub mod duration;
pub mod exit;
pub mod ledger;
pub mod logging;
pub mod name;
pub mod state;
pub mod workflow;
