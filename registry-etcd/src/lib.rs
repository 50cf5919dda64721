//! The registry contract on an etcd cluster.
//!
#![doc = include_str!("../README.md")]

mod capability;
mod config;
mod connect;
mod error;
mod keys;
mod lock;
mod plugin;
mod registry;
mod session;
mod watch;

pub use config::{EtcdSettings, Tls, User};
pub use plugin::EtcdPlugin;
pub use registry::EtcdRegistry;
