//! What a member is started with, and the checks that need no I/O.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use registry_api::{Effect, Error, ErrorKind, Operation};

use crate::consensus::CompactionPolicy;
use crate::convert::BACKEND;
use crate::timing::Timing;

/// What a member is started with.
#[derive(Clone, Debug)]
pub(crate) struct MemberSettings {
    /// The name of the cluster.
    pub(crate) cluster: String,
    /// Who this member is.
    pub(crate) node: u64,
    /// Where it listens: `host:port`. Port 0 takes a free one; the members' entry of this node then gets that port too,
    /// if it is 0 as well.
    pub(crate) listen: String,
    /// Whether others than this machine may connect.
    pub(crate) exposure: Exposure,
    /// Every member and where it is dialled, this one included.
    pub(crate) members: BTreeMap<u64, String>,
    /// Where the data is kept.
    pub(crate) data: DataPlace,
    /// The durations that consensus runs by.
    pub(crate) timing: Timing,
    /// When the log is compacted.
    pub(crate) compaction: CompactionPolicy,
}

/// Where a member keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataPlace {
    /// In memory: a member that stops has lost everything.
    Memory,
    /// In this directory, which is created when it does not exist.
    Directory(PathBuf),
}

/// Whether a member listens beyond this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// On a loopback address only.
    #[default]
    Loopback,
    /// On any address, without encryption and without asking who connects (`insecure = true`).
    Insecure,
}

/// Checks that a member without encryption listens on loopback only, unless that was asked for; warns where it was.
///
/// # Errors
///
/// Configuration: one line that names the address and what to do.
pub(crate) fn check_exposure(listen: &str, address: SocketAddr, exposure: Exposure) -> Result<(), Error> {
    if is_loopback(address.ip()) {
        return Ok(());
    }
    match exposure {
        Exposure::Insecure => {
            tracing::warn!(
                %address,
                "listening beyond loopback without encryption or authentication (insecure = true): whoever reaches this \
                 address can read and change everything"
            );
            Ok(())
        }
        Exposure::Loopback => Err(configuration(format!(
            "listen = {listen:?} is reachable from other machines, and everything is sent in the clear to whoever asks: \
             listen on 127.0.0.1, or say insecure = true if the network is trusted"
        ))),
    }
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
    }
}

/// A member that does not start for a reason that its operator can change.
pub(crate) fn configuration(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, Effect::NotApplied, Operation::Connect, BACKEND, message)
}

/// A member that does not start for a reason that lies in its data or its program.
pub(crate) fn internal(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, Effect::NotApplied, Operation::Connect, BACKEND, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listen: &str, exposure: Exposure) -> Result<(), Error> {
        check_exposure(listen, listen.parse().unwrap(), exposure)
    }

    #[test]
    fn beyond_loopback_nothing_listens_unless_it_is_asked_for() {
        for address in ["127.0.0.1:7001", "127.3.2.1:7001", "[::1]:7001", "[::ffff:127.0.0.1]:7001"] {
            assert!(check(address, Exposure::Loopback).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:7001", "10.0.0.1:7001", "[::]:7001"] {
            let error = check(address, Exposure::Loopback).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Configuration);
            assert!(error.message().contains(address) && error.message().contains("insecure = true"), "{error}");
            assert!(check(address, Exposure::Insecure).is_ok());
        }
    }
}
