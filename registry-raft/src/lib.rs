//! Embedded, durable, replicated registry backend: a Raft member inside your process, and its remote client.

mod boundary;
mod client;
mod consensus;
mod convert;
mod member;
mod proto;
mod registry;
mod state_machine;
mod storage;
mod timing;
