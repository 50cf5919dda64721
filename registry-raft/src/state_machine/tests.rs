//! Tests of the state machine.

mod bench;
mod clients;
mod keys;
mod locks;
mod model;
mod properties;
mod purity;
mod sessions;
mod snapshots;
mod transactions;
