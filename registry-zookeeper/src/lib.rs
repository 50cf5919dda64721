//! Registry backend on a ZooKeeper ensemble.
//!
#![doc = include_str!("../README.md")]

mod call;
mod capability;
mod commit;
mod config;
mod connect;
mod delete;
mod error;
mod inner;
mod link;
mod list;
mod lock;
mod look;
mod node;
mod paths;
mod plugin;
mod read;
mod registry;
mod session;
mod watch;

pub use config::{Access, Credentials, Scheme, Secret, TlsFiles, ZooKeeperSettings};
pub use plugin::ZooKeeperPlugin;
pub use registry::ZooKeeperRegistry;
