//! The registry contract on an etcd cluster.
