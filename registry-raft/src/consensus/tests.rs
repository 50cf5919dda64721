//! Members that replicate over real sockets, and what must hold of them.

mod cluster;
mod disk;
mod election;
mod heartbeat;
mod identity;
mod replication;
mod restart;
mod snapshot;
mod suite;
mod wires;
