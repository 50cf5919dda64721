//! How long the client side waits for what, with the reason for each value.

use std::time::Duration;

/// The waits of the client side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientTiming {
    /// From the start of a dial (name resolution included) to the member's welcome. A member that answers at all does it
    /// in a round trip; one second leaves room for a lost SYN.
    pub(crate) connect_timeout: Duration,
    /// How often a silent connection is probed, and how long the answer may take: a frozen member is noticed within the
    /// sum, which leaves a request time to be served by another. A false alarm costs a new connection and nothing else. The
    /// probes are most of what ten thousand idle clients cost.
    pub(crate) keep_alive_interval: Duration,
    /// See `keep_alive_interval`.
    pub(crate) keep_alive_timeout: Duration,
    /// Between dials of one address: the first wait, doubled with each failure up to `redial_max`, with jitter, so that
    /// clients of a member that returns do not come all at once.
    pub(crate) redial_min: Duration,
    /// See `redial_min`.
    pub(crate) redial_max: Duration,
    /// Between attempts of one request, in the same way. A notice of a new leader ends the wait at once.
    pub(crate) retry_min: Duration,
    /// See `retry_min`.
    pub(crate) retry_max: Duration,
    /// How long a member may know of no leader before its readers look for another member.
    pub(crate) home_patience: Duration,
    /// How often the client's identity is kept alive when it writes nothing.
    pub(crate) keep_client_interval: Duration,
}

impl Default for ClientTiming {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            keep_alive_interval: Duration::from_secs(2),
            keep_alive_timeout: Duration::from_secs(1),
            redial_min: Duration::from_millis(20),
            redial_max: Duration::from_secs(1),
            retry_min: Duration::from_millis(5),
            retry_max: Duration::from_millis(250),
            home_patience: Duration::from_secs(2),
            keep_client_interval: Duration::from_secs(10),
        }
    }
}

impl ClientTiming {
    /// For round trips of up to 300 ms: what spans a round trip grows with it.
    pub(crate) fn wan() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            keep_alive_interval: Duration::from_secs(3),
            keep_alive_timeout: Duration::from_secs(3),
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_secs(1),
            home_patience: Duration::from_secs(10),
            ..Self::default()
        }
    }

    /// For test suites on one machine, which wait for what a frozen member costs.
    pub(crate) fn test() -> Self {
        Self {
            keep_alive_interval: Duration::from_millis(500),
            home_patience: Duration::from_secs(1),
            ..Self::default()
        }
    }
}
