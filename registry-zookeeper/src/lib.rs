//! The registry contract on a ZooKeeper ensemble.
