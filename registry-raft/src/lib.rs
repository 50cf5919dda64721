//! Embedded, durable, replicated registry backend: a Raft member inside your process, and its remote client.
//!
#![doc = include_str!("../README.md")]

mod boundary;
mod client;
mod codec;
mod config;
mod connect;
mod consensus;
mod convert;
mod member;
#[cfg(feature = "micro")]
pub mod micro;
mod plugin;
mod proto;
mod registry;
mod state_machine;
mod storage;
mod timing;

pub use config::{CompactionSettings, Exposure, MemberAddress, RaftSettings, Role, StorageKind, TimingProfile};
pub use plugin::RaftPlugin;
pub use registry::{DeathCertificate, LeaderReport, LeaderWatch, MemberReport, MemberState, RaftRegistry, RaftStatus};
