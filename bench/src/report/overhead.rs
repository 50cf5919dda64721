//! What our backends of ZooKeeper and etcd add to the client libraries below them, asked for the same steps.

use super::statistics::{median, of_peers};
use crate::row::Row;

/// The most of either that a backend may take, of what its library takes.
pub(super) const WANTED: f64 = 1.15;
/// What the name of a library asked for the same steps ends with.
pub(crate) const SAME_STEPS: &str = " (same steps)";

/// A backend in one case: medians over the repeats, and the worst of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Overhead {
    pub(super) case: String,
    pub(super) system: String,
    /// The latency in the middle, to that of the library in the same repeat.
    pub(super) latency: Ratios,
    /// The CPU time of servers and client, to that of the library in the same repeat.
    pub(super) cpu: Ratios,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratios {
    pub(super) median: f64,
    pub(super) worst: f64,
}

impl Overhead {
    pub(super) fn is_small(&self) -> bool {
        self.latency.median <= WANTED && self.cpu.median <= WANTED
    }
}

/// Every case that was run in both ways, in the order in which it was run.
pub(super) fn overheads(rows: &[Row]) -> Vec<Overhead> {
    let mut found = Vec::new();
    for row in rows.iter().filter(|row| of_peers(row) && row.repeat == 1) {
        let of_case: Vec<_> =
            rows.iter().filter(|other| other.workload == row.workload && other.parameters == row.parameters).collect();
        let ratios = |figure: fn(&Row) -> Option<f64>| {
            let of = |system: &str, repeat| {
                let row = of_case.iter().find(|other| other.system == system && other.repeat == repeat)?;
                figure(row).filter(|value| *value > 0.0)
            };
            let library = format!("{}{SAME_STEPS}", row.system);
            let repeats = of_case.iter().filter(|other| other.system == row.system).map(|other| other.repeat);
            let values = repeats.filter_map(|repeat| Some(of(&row.system, repeat)? / of(&library, repeat)?));
            ratios(&values.collect::<Vec<_>>())
        };
        if let Some((latency, cpu)) = ratios(|row| row.figures.p50_us).zip(ratios(cpu_us_per_op)) {
            let case = format!("{} {}", row.workload, row.parameters);
            found.push(Overhead { case, system: row.system.clone(), latency, cpu });
        }
    }
    found
}

fn ratios(values: &[f64]) -> Option<Ratios> {
    Some(Ratios { median: median(values)?, worst: values.iter().copied().max_by(f64::total_cmp)? })
}

fn cpu_us_per_op(row: &Row) -> Option<f64> {
    Some(row.figures.server_cpu_us_per_op? + row.figures.client_cpu_us_per_op?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Figures;
    use crate::row::tests::row;

    fn measured(system: &str, repeat: usize, p50_us: f64, server: f64, client: f64) -> Row {
        let figures = Figures {
            p50_us: Some(p50_us),
            server_cpu_us_per_op: Some(server),
            client_cpu_us_per_op: Some(client),
            ..Figures::default()
        };
        Row { figures, ..row(system, repeat, 1.0) }
    }

    #[test]
    fn a_backend_is_compared_with_its_library_in_the_same_repeat() {
        let rows = [
            measured("raft", 1, 1.0, 1.0, 1.0),
            measured("etcd", 1, 110.0, 90.0, 20.0),
            measured("etcd (raw client)", 1, 10.0, 10.0, 10.0),
            measured("etcd (same steps)", 1, 100.0, 80.0, 20.0),
            measured("etcd", 2, 300.0, 300.0, 100.0),
            measured("etcd (same steps)", 2, 200.0, 150.0, 50.0),
        ];
        let found = overheads(&rows);
        let [etcd] = &found[..] else { panic!("{found:?}") };
        assert_eq!((&*etcd.case, &*etcd.system), ("W1 1 caller", "etcd"));
        assert_eq!((etcd.latency.median, etcd.latency.worst), (1.3, 1.5));
        assert_eq!((etcd.cpu.median, etcd.cpu.worst), (1.55, 2.0));
        assert!(!etcd.is_small());
    }

    #[test]
    fn what_was_not_run_in_both_ways_is_not_told() {
        assert_eq!(overheads(&[measured("etcd", 1, 1.0, 1.0, 1.0), row("zookeeper", 1, 1.0)]), []);
    }
}
