//! What masters and workers tell about themselves, for as long as they live.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// The roles that announce a presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Plans.
    Master,
    /// Runs tasks.
    Worker,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Master => "master",
            Self::Worker => "worker",
        })
    }
}

/// What every process tells about itself and its machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vitals {
    /// The machine's name.
    pub host: String,
    /// The machine's address towards the others.
    pub ip: String,
    /// The process.
    pub pid: u32,
    /// Of all cores together, in percent.
    pub cpu: f32,
    /// In bytes.
    pub memory_used: u64,
    /// In bytes.
    pub memory_total: u64,
    /// Load average of the last minute, per core.
    pub load: f64,
    /// What the process is ready to do.
    pub status: Status,
    /// When the process started, for people.
    pub started_at: u64,
    /// When this was measured, for people.
    pub reported_at: u64,
}

/// What a process is ready to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its work.
    Running,
    /// No further work for now: its machine is above the configured load.
    Busy,
    /// No further work: it is being stopped. Its farewell.
    Leaving,
}

impl Status {
    /// As in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Busy => "busy",
            Self::Leaving => "leaving",
        }
    }
}

/// The presence payload of a master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MasterReport {
    /// Always [`Role::Master`].
    pub role: Role,
    /// The process and its machine.
    #[serde(flatten)]
    pub vitals: Vitals,
    /// Its id in the registry's cluster, where it is a member of one.
    pub node: Option<u64>,
    /// Its address in the registry's cluster.
    pub address: Option<String>,
    /// Which of the slots it drives.
    pub slot: Option<usize>,
    /// How many slots there are, as it sees it.
    pub slots: usize,
    /// The instances that it drives.
    pub instances: Vec<Name>,
}

/// The presence payload of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Always [`Role::Worker`].
    pub role: Role,
    /// The process and its machine.
    #[serde(flatten)]
    pub vitals: Vitals,
    /// Which tasks it runs.
    pub group: Name,
    /// How many tasks it runs at once, at most.
    pub capacity: usize,
    /// How many it runs now.
    pub running: usize,
}

/// The part that both payloads share.
#[derive(Debug, Deserialize)]
pub struct AnyReport {
    /// What the process was ready to do.
    pub status: Status,
}
