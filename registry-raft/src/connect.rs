//! From settings to a registry that serves: as a client of members elsewhere, or around a member in this process.

use std::sync::Arc;

use registry_api::{Effect, Error, ErrorKind, Operation, Result};
use tokio::time::Instant;

use crate::client::{Group, Links};
use crate::config::Role;
use crate::convert::BACKEND;
use crate::registry::Foundation;
use crate::{RaftRegistry, RaftSettings};

impl RaftRegistry {
    /// Connects, or starts a member and connects to it.
    ///
    /// A client returns when the first member has answered. A member returns when it serves, whether the group has a
    /// leader yet or not: members of one group may be started in any order, and operations wait for a leader within
    /// their timeout.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration): settings that cannot work.
    /// [`Unavailable`](ErrorKind::Unavailable): no member answered within `connect_timeout`; the last reason is named.
    /// For a member also what its data directory or its port met.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends what it had begun.
    pub async fn connect(settings: RaftSettings) -> Result<Self> {
        settings.check()?;
        match settings.role {
            Role::Client => connect_client(&settings).await,
            Role::Member => Err(Error::new(
                ErrorKind::Unsupported,
                Effect::NotApplied,
                Operation::Connect,
                BACKEND,
                "members cannot be started yet",
            )),
        }
    }
}

async fn connect_client(settings: &RaftSettings) -> Result<RaftRegistry> {
    let group = Arc::new(Group::new(settings.cluster.clone().unwrap_or_default(), settings.targets()));
    let timing = settings.timing.client();
    let label = settings.client_label();
    let registry = RaftRegistry::start(Foundation {
        links: Links::new(Arc::clone(&group), label.clone(), timing),
        group,
        local: None,
        timing,
        label,
        request_timeout: settings.request_timeout,
    });
    match registry.reached(Instant::now() + settings.connect_timeout).await {
        Ok(()) => Ok(registry),
        Err(reason) => {
            let limit = humantime::format_duration(settings.connect_timeout);
            let message = match reason.as_str() {
                "" => format!("no member answered within {limit}"),
                reason => format!("no member answered within {limit}; last: {reason}"),
            };
            Err(Error::new(ErrorKind::Unavailable, Effect::NotApplied, Operation::Connect, BACKEND, message))
        }
    }
}
