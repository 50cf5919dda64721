//! The workloads, as data: what is measured, with which parameters, and how each is run.

mod calm;
mod ephemeral;
mod failover;
mod fanout;
mod fill;
mod growth;
mod idle;
mod keys;
mod lock;
mod memory;
mod physical;
mod sessions;
mod start;

use std::fmt;
use std::time::Duration;

use registry_api::ReadLevel;

use crate::Outcome;
use crate::cluster::{Cluster, Kind};
use crate::load::{Scene, Span};
use crate::row::Figures;

pub(crate) use fill::key;
pub(crate) use keys::{VALUE_LEN, value};

/// Through what a store is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// The contract.
    Registry,
    /// The client library of the servers, as anyone would use it.
    Raw,
    /// The client library, asked for just what our backend asks it for.
    SameSteps,
}

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Every case.
    Full,
    /// The cases that tell most, with less to do.
    Quick,
}

/// A workload with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Put { callers: usize, connections: usize },
    Ephemeral { callers: usize },
    Get { callers: usize, level: ReadLevel },
    Fanout { subscribers: usize },
    Lock { callers: usize },
    Contended { contenders: usize },
    Sessions { count: usize, connections: Option<usize> },
    Failover { kills: usize },
    Memory { keys: usize },
    Start,
    Restart { keys: usize },
    Disk { callers: usize },
    Idle { measured: Duration },
    Growth { keys: usize, operation: growth::Operation },
    Members { count: usize },
    Among { sessions: usize },
    Snapshots { keys: usize },
    Physical { what: physical::What },
    Calm { measured: Duration },
}

/// The names that `--only` takes, in the order in which they are run: what wants fresh servers and machines first.
pub(crate) const NAMES: [&str; 17] =
    ["W16", "W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "W9", "W14", "W12", "W13", "W10", "W11", "W15", "calm"];

impl Case {
    /// Every case of such a run.
    pub(crate) fn all(depth: Depth) -> Vec<Self> {
        let mut cases = every();
        if depth == Depth::Quick {
            cases.retain(|case| case.is_quick());
            cases = cases.into_iter().map(Self::shortened).collect();
        }
        cases.sort_by_key(|case| NAMES.iter().position(|name| *name == case.workload()));
        cases
    }

    pub(crate) fn workload(self) -> &'static str {
        match self {
            Self::Put { callers: 1, .. } => "W1",
            Self::Put { callers: 16, .. } => "W2",
            Self::Put { callers: 64, .. } => "W3",
            Self::Put { .. } => "W4",
            Self::Ephemeral { .. } => "W5",
            Self::Get { .. } => "W6",
            Self::Fanout { .. } => "W7",
            Self::Lock { .. } => "W8",
            Self::Contended { .. } => "W9",
            Self::Sessions { .. } => "W10",
            Self::Failover { .. } => "W11",
            Self::Memory { .. } => "W12",
            Self::Start | Self::Restart { .. } => "W13",
            Self::Disk { .. } | Self::Idle { .. } => "W14",
            Self::Growth { .. } | Self::Members { .. } | Self::Among { .. } | Self::Snapshots { .. } => "W15",
            Self::Physical { .. } => "W16",
            Self::Calm { .. } => "calm",
        }
    }

    /// Workload and parameters.
    pub(crate) fn line(self) -> String {
        format!("{} {self}", self.workload())
    }

    /// Through what it is run on the peers.
    pub(crate) fn paths(self) -> &'static [Path] {
        match self {
            Self::Put { .. }
            | Self::Get { .. }
            | Self::Ephemeral { .. }
            | Self::Fanout { .. }
            | Self::Lock { .. }
            | Self::Contended { .. } => &[Path::Registry, Path::Raw, Path::SameSteps],
            _ => &[Path::Registry],
        }
    }

    /// Whether it needs servers that nothing was done with.
    pub(crate) fn needs_fresh(self) -> bool {
        matches!(self, Self::Memory { .. } | Self::Restart { .. } | Self::Growth { keys: growth::FEWEST, .. })
    }

    /// Whether its workload is run on servers that nothing else was done with before: it looks at their memory or disk, or
    /// kills them.
    pub(crate) fn begins_anew(self) -> bool {
        matches!(self.workload(), "W10" | "W11" | "W12" | "W13" | "W14" | "W15" | "calm")
    }

    /// Whether it measures the machine, and no system.
    pub(crate) fn is_of_machine(self) -> bool {
        matches!(self, Self::Physical { .. })
    }

    /// Whether it is run on ours only: it starts members with other settings, or takes minutes for a goal of ours.
    pub(crate) fn is_of_ours(self) -> bool {
        match self {
            Self::Members { .. } | Self::Snapshots { .. } | Self::Calm { .. } => true,
            Self::Restart { keys } | Self::Growth { keys, .. } => keys > 100_000,
            _ => false,
        }
    }

    /// Whether the peers are the measure of its goals, and so are run as often. Where they are not, or where a run takes
    /// minutes, once tells how they stand.
    pub(crate) fn is_compared(self) -> bool {
        match self {
            Self::Sessions { count, connections } => count <= 1000 && connections.is_none(),
            _ => !matches!(self.workload(), "W11" | "W12" | "W13" | "W14" | "W15"),
        }
    }

    /// Runs it once.
    pub(crate) async fn run(self, scene: &mut Scene<'_>, path: Path) -> Outcome<Figures> {
        match self {
            Self::Put { callers, connections } => keys::put(scene, path, callers, connections).await,
            Self::Disk { callers } => keys::put(scene, path, callers, 1).await.map(keys::over_payload),
            Self::Ephemeral { callers } => ephemeral::measure(scene, path, callers).await,
            Self::Get { callers, level } => keys::get(scene, path, callers, level).await,
            Self::Fanout { subscribers } => fanout::measure(scene, path, subscribers).await,
            Self::Lock { callers } => lock::uncontended(scene, path, callers).await,
            Self::Contended { contenders } => lock::contended(scene, path, contenders).await,
            Self::Sessions { count, connections } => sessions::measure(scene, count, connections).await,
            Self::Failover { kills } => failover::measure(scene, self.kills_of(scene.cluster.kind(), kills)).await,
            Self::Memory { keys } => memory::measure(scene, keys).await,
            Self::Start => start::from_nothing(scene).await,
            Self::Restart { keys } => start::with_keys(scene, keys).await,
            Self::Idle { measured } => idle::measure(scene, measured).await,
            Self::Growth { keys, operation } => growth::over_keys(scene, keys, operation).await,
            Self::Members { count } => growth::over_members(scene, count).await,
            Self::Among { sessions } => growth::over_sessions(scene, sessions).await,
            Self::Snapshots { keys } => growth::with_snapshots(scene, keys).await,
            Self::Physical { what } => physical::measure(scene, what).await,
            Self::Calm { measured } => calm::measure(scene, measured).await,
        }
    }

    /// Peers take seconds for each, and have no goal of their own.
    fn kills_of(self, kind: Kind, kills: usize) -> usize {
        if kind == Kind::Raft { kills } else { kills.div_ceil(4) }
    }

    fn is_quick(self) -> bool {
        match self {
            Self::Put { callers, connections } => callers < 256 || connections == 1,
            Self::Get { callers, .. } => callers <= 64,
            Self::Fanout { subscribers } => subscribers == 100,
            Self::Sessions { count, connections } => count == 100 && connections.is_none(),
            Self::Growth { .. } | Self::Members { .. } | Self::Among { .. } => false,
            _ => true,
        }
    }

    /// The same with less to do.
    fn shortened(self) -> Self {
        match self {
            Self::Failover { .. } => Self::Failover { kills: 2 },
            Self::Memory { .. } => Self::Memory { keys: 10_000 },
            Self::Restart { .. } => Self::Restart { keys: 10_000 },
            Self::Snapshots { .. } => Self::Snapshots { keys: 10_000 },
            Self::Idle { .. } => Self::Idle { measured: Duration::from_secs(3) },
            Self::Calm { .. } => Self::Calm { measured: Duration::from_secs(5) },
            other => other,
        }
    }
}

/// Puts and gets that nobody measures: what a server compiles while it runs is compiled then.
pub(crate) async fn warm_up(cluster: &mut Cluster, directory: &std::path::Path, measured: Duration) -> Outcome<()> {
    let span = Span { warm_up: Duration::ZERO, measured };
    let scene = Scene { cluster, others: &[], span, directory };
    keys::put(&scene, Path::Registry, 64, 1).await?;
    keys::get(&scene, Path::Registry, 64, ReadLevel::Linearizable).await.map(drop)
}

/// The parameters, as the tables name them.
impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Put { callers: 256, connections } => {
                write!(formatter, "256 callers, {}", n(connections, "connection"))
            }
            Self::Put { callers, .. } | Self::Ephemeral { callers } => formatter.write_str(&n(callers, "caller")),
            Self::Get { callers, level: ReadLevel::Linearizable } => formatter.write_str(&n(callers, "caller")),
            Self::Get { callers, level: ReadLevel::Stale } => write!(formatter, "{}, local", n(callers, "caller")),
            Self::Fanout { subscribers } => formatter.write_str(&n(subscribers, "subscriber")),
            Self::Lock { callers } => write!(formatter, "{}, a lock each", n(callers, "caller")),
            Self::Contended { contenders } => formatter.write_str(&n(contenders, "contender")),
            Self::Sessions { count, connections: None } => formatter.write_str(&n(count, "session")),
            Self::Sessions { count, connections: Some(shared) } => {
                write!(formatter, "{}, {}", n(count, "session"), n(shared, "connection"))
            }
            Self::Failover { .. } => write!(formatter, "16 callers"),
            Self::Memory { keys } => formatter.write_str(&n(keys, "key")),
            Self::Start => write!(formatter, "start"),
            Self::Restart { keys } => write!(formatter, "restart with {}", n(keys, "key")),
            Self::Disk { callers } => write!(formatter, "put, {}", n(callers, "caller")),
            Self::Idle { .. } => write!(formatter, "idle"),
            Self::Growth { keys, operation } => write!(formatter, "{operation}, {}", n(keys, "key")),
            Self::Members { count } => write!(formatter, "put, {}", n(count, "member")),
            Self::Among { sessions } => write!(formatter, "put, {}", n(sessions, "session")),
            Self::Snapshots { keys } => write!(formatter, "put during snapshots, {}", n(keys, "key")),
            Self::Physical { what } => write!(formatter, "{what}"),
            Self::Calm { .. } => write!(formatter, "full load"),
        }
    }
}

/// So many of these.
fn n(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn every() -> Vec<Case> {
    let mut cases = vec![
        Case::Put { callers: 256, connections: 1 },
        Case::Put { callers: 256, connections: 16 },
        Case::Ephemeral { callers: 1 },
        Case::Ephemeral { callers: 64 },
        Case::Get { callers: 64, level: ReadLevel::Stale },
        Case::Lock { callers: 1 },
        Case::Lock { callers: 16 },
        Case::Contended { contenders: 16 },
        Case::Sessions { count: 100, connections: Some(1) },
        Case::Failover { kills: 17 },
        Case::Memory { keys: 100_000 },
        Case::Start,
        Case::Restart { keys: 1_000_000 },
        Case::Disk { callers: 1 },
        Case::Disk { callers: 256 },
        Case::Idle { measured: Duration::from_secs(60) },
        Case::Snapshots { keys: 1_000_000 },
        Case::Calm { measured: Duration::from_secs(600) },
    ];
    cases.extend([1, 16, 64].map(|callers| Case::Put { callers, connections: 1 }));
    cases.extend([1, 64, 256].map(|callers| Case::Get { callers, level: ReadLevel::Linearizable }));
    cases.extend([1, 100, 1000].map(|subscribers| Case::Fanout { subscribers }));
    cases.extend([100, 1000, 5000, 10_000].map(|count| Case::Sessions { count, connections: None }));
    cases.extend([1, 3, 5].map(|count| Case::Members { count }));
    cases.extend([1, 100, 1000, 10_000].map(|sessions| Case::Among { sessions }));
    // Last: they leave a group full.
    for keys in [growth::FEWEST, 100_000, 1_000_000] {
        cases.extend(growth::Operation::ALL.map(|operation| Case::Growth { keys, operation }));
    }
    cases.extend(physical::What::ALL.map(|what| Case::Physical { what }));
    cases
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_workload_has_a_case() {
        let found: BTreeSet<_> = Case::all(Depth::Full).into_iter().map(Case::workload).collect();
        assert_eq!(found, NAMES.into_iter().collect());
        let quick: BTreeSet<_> = Case::all(Depth::Quick).into_iter().map(Case::workload).collect();
        assert_eq!(quick, NAMES.into_iter().collect());
    }

    #[test]
    fn no_two_cases_have_the_same_name() {
        let cases = Case::all(Depth::Full);
        let names: BTreeSet<_> = cases.iter().map(|case| case.line()).collect();
        assert_eq!(names.len(), cases.len());
    }
}
