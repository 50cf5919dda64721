//! The section `[scheduler]`: every key, its default, and what must hold between them.

use std::net::SocketAddr;

use figment::value::Dict;
use serde::Deserialize;

use crate::duration::Span;
use crate::exit::Failure;
use crate::name::Name;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sections {
    /// Checked by the plugins.
    #[serde(rename = "registry", default)]
    pub(super) _registry: Dict,
    #[serde(default)]
    pub(super) scheduler: SchedulerSettings,
}

/// Section `[scheduler]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulerSettings {
    /// Unique among the processes of one role.
    pub name: Option<Name>,
    /// What to do when the registry cannot be reached for longer than the session lives. Default: wait.
    pub on_registry_lost: OnRegistryLost,
    /// How often the presence payload is refreshed. Default: 1 s.
    pub report_interval: Span,
    /// How long a master or worker waits for the registry at its start. Default: 60 s.
    pub start_timeout: Span,
    /// Section `[scheduler.master]`.
    pub master: MasterSettings,
    /// Section `[scheduler.worker]`.
    pub worker: WorkerSettings,
    /// Section `[scheduler.api]`.
    pub api: ApiSettings,
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self {
            name: None,
            on_registry_lost: OnRegistryLost::Wait,
            report_interval: Span::seconds(1),
            start_timeout: Span::seconds(60),
            master: MasterSettings::default(),
            worker: WorkerSettings::default(),
            api: ApiSettings::default(),
        }
    }
}

/// What a master or worker does that cannot reach the registry any more, typically on the minority side of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRegistryLost {
    /// Exits.
    Stop,
    /// Stops acting, waits, and carries on in a new session.
    Wait,
}

impl OnRegistryLost {
    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Wait => "wait",
        }
    }
}

/// Section `[scheduler.master]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MasterSettings {
    /// How many ended instances are kept; the oldest are forgotten. Default: 200.
    pub instances_kept: usize,
}

impl Default for MasterSettings {
    fn default() -> Self {
        Self { instances_kept: 200 }
    }
}

/// Section `[scheduler.worker]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// Which tasks it runs. Default: `default`.
    pub group: Name,
    /// How many tasks it runs at once. Default: twice the number of cores.
    pub capacity: usize,
    /// The load average per core above which work is refused. Default: no limit.
    pub load_max: Option<f64>,
    /// Between SIGTERM and SIGKILL. Default: 5 s.
    pub stop_grace: Span,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { group: Name::lossy("default"), capacity: 2 * cores, load_max: None, stop_grace: Span::seconds(5) }
    }
}

/// Section `[scheduler.api]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiSettings {
    /// Where to listen. Default: 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// Allows an address beyond loopback, without authentication. Default: false.
    pub insecure: bool,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), insecure: false }
    }
}

/// More than that on one machine is a typing mistake.
const CAPACITY_MAX: usize = 1024;

impl SchedulerSettings {
    /// What no single key can say.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if !(1..=CAPACITY_MAX).contains(&self.worker.capacity) {
            let capacity = self.worker.capacity;
            return Err(Failure::configuration(format!(
                "scheduler.worker.capacity is {capacity}; it must be between 1 and {CAPACITY_MAX}"
            )));
        }
        if self.worker.load_max.is_some_and(|load| !load.is_finite() || load <= 0.0) {
            return Err(Failure::configuration("scheduler.worker.load_max must be above 0; leave it out for no limit"));
        }
        if self.report_interval.0.as_millis() < 50 {
            return Err(Failure::configuration("scheduler.report_interval must be at least 50ms"));
        }
        if !self.api.listen.ip().is_loopback() && !self.api.insecure {
            return Err(Failure::configuration(format!(
                "scheduler.api.listen is {}, which is reachable from other machines, and there is no authentication: \
                 listen on 127.0.0.1, or set scheduler.api.insecure = true",
                self.api.listen
            )));
        }
        Ok(())
    }
}
