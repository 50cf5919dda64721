//! A workflow scheduler in three roles: masters plan, workers run, API servers show. All of its state is in a registry.

pub mod api;
pub mod backends;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod duration;
pub mod enrol;
pub mod exit;
pub mod ledger;
pub mod logging;
pub mod master;
pub mod name;
pub mod overview;
pub mod state;
pub mod submit;
pub mod vitals;
pub mod worker;
pub mod workflow;

/// The example of the README of all backends: only a composition root can compile it.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
