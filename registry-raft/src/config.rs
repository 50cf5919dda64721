//! The section `[registry.raft]`: what a member or client of a Raft group is configured with.

mod check;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use figment::Figment;
use registry_api::{Effect, Error, ErrorKind, Operation, Result, SESSION_TTL_DEFAULT};

use crate::client::{ClientTiming, Target};
use crate::convert::BACKEND;

/// The section `[registry.raft]`. Without any settings it is one member with durable storage on loopback.
///
/// | Key | Meaning | Default |
/// |---|---|---|
/// | `role` | `"member"`: a member inside this process; `"client"`: members elsewhere | `"member"` |
/// | `node` | the id of this member, 1 or more, never used again for another one | `1` |
/// | `cluster` | the name of the cluster; members and clients of another one are refused | `"registry"` |
/// | `data_dir` | where a member keeps its log and snapshots | `"data/registry-NODE"` |
/// | `storage` | `"disk"`, or `"memory"` for throw-away runs: what was acknowledged is lost with the process | `"disk"` |
/// | `listen` | the address that a member serves peers, clients and metrics on | `"127.0.0.1:7001"` |
/// | `advertise` | what others dial; a name is resolved on every dial | this member's entry in `members`, or `listen` |
/// | `members` | every member of the group, `"id@host:port"`; the same for all members and clients | this member alone |
/// | `insecure` | whether `listen` may reach beyond this machine although nothing is encrypted yet | `false` |
/// | `timing` | `"lan"`, `"wan"` (round trips up to 300 ms), or `"test"` (test suites on one machine) | `"lan"` |
/// | `compact_after_bytes` | a snapshot is made after so much was written to the log | `67108864` |
/// | `compact_after_entries` | or after so many entries | `100000` |
/// | `compact_after_age` | or after so long | `"1h"` |
/// | `connect_timeout` | how long a client looks for a member before connecting fails | `"10s"` |
/// | `request_timeout` | how long one request may take, 10 ms to 10 min | that of `[registry]`, `"5s"` |
/// | `label` | what members call this client in logs | `"process PID"` |
///
/// A client ignores what is about members only, so that both can share one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftSettings {
    /// Member or client.
    pub role: Role,
    /// The id of this member.
    pub node: u64,
    /// The name of the cluster; a client without one takes what it finds.
    pub cluster: Option<String>,
    /// Where a member keeps its data; `None` for `data/registry-NODE`.
    pub data_dir: Option<PathBuf>,
    /// Where acknowledged changes are kept.
    pub storage: StorageKind,
    /// `host:port` to serve on. Port 0 takes a free one; only a member that is alone can, as the others have to know it.
    pub listen: String,
    /// `host:port` that others dial.
    pub advertise: Option<String>,
    /// Every member; empty for this member alone.
    pub members: Vec<MemberAddress>,
    /// Who may reach a member.
    pub exposure: Exposure,
    /// Which durations it runs by.
    pub timing: TimingProfile,
    /// When the log is compacted.
    pub compaction: CompactionSettings,
    /// How long a client looks for a member before connecting fails.
    pub connect_timeout: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// The time to live of sessions that the application is going to open, checked against the timing.
    pub session_ttl: Duration,
    /// What members call this client.
    pub label: Option<String>,
}

/// What a process is for the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It holds the state and votes.
    #[default]
    Member,
    /// It asks members elsewhere.
    Client,
}

/// Where a member keeps what it acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// In its data directory, flushed before it is acknowledged.
    #[default]
    Disk,
    /// In memory, gone with the process: for tests and throw-away runs.
    Memory,
}

/// Who may reach a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// Processes of this machine.
    #[default]
    Loopback,
    /// Whoever reaches the address, without encryption and without asking who it is: `insecure = true`.
    Insecure,
}

/// A set of durations that fit together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimingProfile {
    /// Members in one data centre: a silent leader is replaced within 1 to 2 seconds, a dead process much faster.
    #[default]
    Lan,
    /// Members far apart, or on slow disks: round trips of up to 300 ms; a silent leader is replaced within 10 seconds.
    Wan,
    /// Test suites on one machine.
    Test,
}

/// When the log of a member is compacted: whatever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionSettings {
    /// After so many bytes were written; 1 MiB or more.
    pub bytes: u64,
    /// After so many entries; 100 or more.
    pub entries: u64,
    /// After so long, if anything was written; 1 s or more.
    pub age: Duration,
}

/// A member and where it is dialled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberAddress {
    /// Its id.
    pub id: u64,
    /// `host:port`; a name is resolved on every dial.
    pub address: String,
}

/// Where a member serves when nothing else is said.
pub(crate) const LISTEN_DEFAULT: &str = "127.0.0.1:7001";
/// The cluster of members when nothing else is said.
pub(crate) const CLUSTER_DEFAULT: &str = "registry";

impl Default for RaftSettings {
    fn default() -> Self {
        Self {
            role: Role::Member,
            node: 1,
            cluster: None,
            data_dir: None,
            storage: StorageKind::Disk,
            listen: LISTEN_DEFAULT.to_owned(),
            advertise: None,
            members: Vec::new(),
            exposure: Exposure::Loopback,
            timing: TimingProfile::Lan,
            compaction: CompactionSettings::default(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(5),
            session_ttl: SESSION_TTL_DEFAULT,
            label: None,
        }
    }
}

impl Default for CompactionSettings {
    fn default() -> Self {
        Self { bytes: 64 << 20, entries: 100_000, age: Duration::from_secs(3600) }
    }
}

impl RaftSettings {
    /// Reads the section that `figment` is focused on, and checks it.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration): one line that names the key, what is wrong with it and what would be
    /// right; where two keys contradict each other, both with their values.
    pub fn read(figment: &Figment) -> Result<Self> {
        let settings = read::read(figment)?;
        settings.check()?;
        Ok(settings)
    }

    /// Refuses settings that cannot work. [`RaftRegistry::connect`](crate::RaftRegistry::connect) does this by itself.
    ///
    /// # Errors
    ///
    /// As of [`RaftSettings::read`].
    pub fn check(&self) -> Result<()> {
        check::check(self)
    }

    /// What others dial to reach this member, as far as it is known before it listens.
    pub(crate) fn advertised(&self) -> &str {
        let own = self.members.iter().find(|member| member.id == self.node);
        self.advertise.as_deref().or(own.map(|own| own.address.as_str())).unwrap_or(&self.listen)
    }

    /// Where this member keeps its data.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from(format!("data/registry-{}", self.node)))
    }

    /// Whom a client dials first.
    pub(crate) fn targets(&self) -> Vec<Target> {
        if self.members.is_empty() {
            return vec![Target { id: self.node, address: self.advertised().to_owned() }];
        }
        self.members.iter().map(|member| Target { id: member.id, address: member.address.clone() }).collect()
    }

    /// What members call this client.
    pub(crate) fn client_label(&self) -> String {
        self.label.clone().unwrap_or_else(|| format!("process {}", std::process::id()))
    }
}

impl TimingProfile {
    /// The name as it is configured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Test => "test",
        }
    }

    pub(crate) fn client(self) -> ClientTiming {
        match self {
            Self::Lan => ClientTiming::default(),
            Self::Wan => ClientTiming::wan(),
            Self::Test => ClientTiming::test(),
        }
    }
}

impl MemberAddress {
    /// The member `id` at `host:port`.
    pub fn new(id: u64, address: impl Into<String>) -> Self {
        Self { id, address: address.into() }
    }
}

impl fmt::Display for MemberAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.id, self.address)
    }
}

pub(crate) fn refusal(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, Effect::NotApplied, Operation::Connect, BACKEND, message)
}
