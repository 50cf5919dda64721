//! Which release of Debian the servers come from: it decides their versions.

use crate::{Broken, Outcome};

/// The environment variable that chooses it.
const VARIABLE: &str = "REGISTRY_TEST_RELEASE";

/// A release of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// ZooKeeper 3.9 and etcd 3.5.
    Trixie,
    /// ZooKeeper 3.8 and etcd 3.4.
    Bookworm,
}

impl Release {
    /// The release that the environment chooses; by default the newest.
    pub(super) fn chosen() -> Outcome<Self> {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("" | "trixie") => Ok(Self::Trixie),
            Ok("bookworm") => Ok(Self::Bookworm),
            Ok(other) => {
                let text = format!("{VARIABLE} = {other:?} is no release that servers come from: trixie or bookworm");
                Err(Broken::harness(text))
            }
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Bookworm => "bookworm",
        }
    }
}
