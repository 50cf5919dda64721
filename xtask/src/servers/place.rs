//! Where a server listens.

use crate::command::free_ports;

/// How servers on the network of this machine reach each other.
const LOOPBACK: &str = "127.0.0.1";

/// The address of a server, and its ports for clients, for its peers and for their elections.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) client: u16,
    pub(super) peer: u16,
    pub(super) election: u16,
}

impl Place {
    /// Free ports on the network of this machine.
    pub(super) fn on_host(members: usize) -> Result<Vec<Self>, String> {
        let ports = free_ports(members * 3)?;
        let place = |ports: &[u16]| match *ports {
            [client, peer, election] => Some(Self { host: LOOPBACK.to_owned(), client, peer, election }),
            _ => None,
        };
        Ok(ports.chunks(3).filter_map(place).collect())
    }

    /// What `docker run` has to be told of the network; `own` is the network of these servers alone.
    pub(super) fn network(&self, own: &str) -> Vec<String> {
        if self.host == LOOPBACK {
            return ["--network", "host"].map(str::to_owned).into();
        }
        let publish = format!("127.0.0.1::{}", self.client);
        ["--network", own, "--network-alias", &self.host, "--publish", &publish].map(str::to_owned).into()
    }

    /// `host:port` for clients, where it is known before the server runs.
    pub(super) fn address(&self) -> Option<String> {
        (self.host == LOOPBACK).then(|| format!("{LOOPBACK}:{}", self.client))
    }
}
