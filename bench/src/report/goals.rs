//! The goals, as data, and whether they are met.

use super::statistics::{Better, OURS, median, ratio};
use crate::row::Row;

/// What a figure is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Basis {
    /// Nothing: the figure itself.
    Itself,
    /// The same figure of the better peer in the same repeat.
    Peer,
    /// The same figure of ours with other parameters of the same workload.
    Parameters(&'static str),
    /// How much it is above the median of this workload with these parameters.
    Above(&'static str, &'static str),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Which of the repeats has to keep to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Median,
    Worst,
}

#[derive(Clone, Copy, Debug)]
struct Goal {
    workload: &'static str,
    parameters: &'static str,
    figure: &'static str,
    basis: Basis,
    bound: Bound,
    of: Of,
}

/// A goal, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) goal: String,
    pub(super) wanted: String,
    pub(super) median: Option<f64>,
    pub(super) worst: Option<f64>,
    pub(super) judgement: Judgement,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Judgement {
    Met,
    /// By this share of the bound.
    Missed(f64),
    NothingToCompare,
}

use Basis::{Above, Itself, Parameters, Peer};
use Bound::{AtLeast, AtMost};

const fn goal(
    workload: &'static str,
    parameters: &'static str,
    figure: &'static str,
    basis: Basis,
    bound: Bound,
) -> Goal {
    Goal { workload, parameters, figure, basis, bound, of: Of::Median }
}

const OPS: &str = "ops_per_s";
const CPU: &str = "server_cpu_us_per_op";
const RSS: &str = "server_rss_mb";

const GOALS: [Goal; 58] = [
    goal("W1", "1 caller", OPS, Peer, AtLeast(2.0)),
    goal("W1", "1 caller", "p50_us", Peer, AtMost(0.5)),
    goal("W2", "16 callers", OPS, Peer, AtLeast(4.0)),
    goal("W3", "64 callers", OPS, Peer, AtLeast(5.0)),
    goal("W3", "64 callers", CPU, Peer, AtMost(0.2)),
    goal("W4", "256 callers, 1 connection", OPS, Peer, AtLeast(5.0)),
    goal("W4", "256 callers, 1 connection", CPU, Peer, AtMost(0.2)),
    goal("W4", "256 callers, 1 connection", "p99_us", Peer, AtMost(0.25)),
    goal("W4", "256 callers, 16 connections", OPS, Peer, AtLeast(5.0)),
    goal("W4", "256 callers, 16 connections", CPU, Peer, AtMost(0.2)),
    goal("W4", "256 callers, 16 connections", "p99_us", Peer, AtMost(0.25)),
    goal("W5", "1 caller", OPS, Peer, AtLeast(3.0)),
    goal("W5", "64 callers", OPS, Peer, AtLeast(5.0)),
    goal("W6", "1 caller", OPS, Peer, AtLeast(2.5)),
    goal("W6", "64 callers", OPS, Peer, AtLeast(6.0)),
    goal("W6", "256 callers", OPS, Peer, AtLeast(6.0)),
    goal("W6", "64 callers, local", OPS, Peer, AtLeast(4.0)),
    goal("W7", "1 subscriber", OPS, Peer, AtLeast(6.0)),
    goal("W7", "1 subscriber", "p99_us", Peer, AtMost(0.25)),
    goal("W7", "100 subscribers", OPS, Peer, AtLeast(6.0)),
    goal("W7", "100 subscribers", "p99_us", Peer, AtMost(0.25)),
    goal("W7", "1000 subscribers", OPS, Peer, AtLeast(6.0)),
    goal("W7", "1000 subscribers", "p99_us", Peer, AtMost(0.25)),
    goal("W8", "1 caller, a lock each", OPS, Peer, AtLeast(3.0)),
    goal("W8", "16 callers, a lock each", OPS, Peer, AtLeast(6.0)),
    goal("W9", "16 contenders", OPS, Peer, AtLeast(4.0)),
    goal("W10", "100 sessions", "open_s", Peer, AtMost(0.2)),
    goal("W10", "100 sessions", "idle_cpu_ms_per_s", Peer, AtMost(0.2)),
    goal("W10", "100 sessions", RSS, Peer, AtMost(0.2)),
    goal("W10", "100 sessions", "gone_s", Itself, AtMost(GONE_S)),
    goal("W10", "1000 sessions", "open_s", Peer, AtMost(0.2)),
    goal("W10", "1000 sessions", "idle_cpu_ms_per_s", Peer, AtMost(0.2)),
    goal("W10", "1000 sessions", RSS, Peer, AtMost(0.2)),
    goal("W10", "1000 sessions", "gone_s", Itself, AtMost(GONE_S)),
    goal("W10", "5000 sessions", "open_s", Peer, AtMost(0.2)),
    goal("W10", "5000 sessions", "idle_cpu_ms_per_s", Peer, AtMost(0.2)),
    goal("W10", "5000 sessions", RSS, Peer, AtMost(0.2)),
    goal("W10", "5000 sessions", "gone_s", Itself, AtMost(GONE_S)),
    goal("W10", "10000 sessions", "open_s", Peer, AtMost(0.2)),
    goal("W10", "10000 sessions", "idle_cpu_ms_per_s", Peer, AtMost(0.2)),
    goal("W10", "10000 sessions", RSS, Peer, AtMost(0.2)),
    goal("W10", "10000 sessions", "gone_s", Itself, AtMost(GONE_S)),
    goal("W11", "16 callers", "gap_ms", Itself, AtMost(300.0)),
    Goal { of: Of::Worst, ..goal("W11", "16 callers", "gap_worst_ms", Itself, AtMost(600.0)) },
    goal("W12", "100000 keys", "idle_rss_mb", Itself, AtMost(15.0)),
    goal("W12", "100000 keys", RSS, Itself, AtMost(60.0)),
    goal("W13", "start", "start_s", Itself, AtMost(0.5)),
    goal("W13", "restart with 1000000 keys", "restart_s", Itself, AtMost(3.0)),
    goal("W14", "put, 256 callers", "disk_bytes_per_payload", Itself, AtMost(1.5)),
    goal("W14", "idle", "disk_mb_per_hour", Itself, AtMost(1.0)),
    goal("W15", "put, 100000 keys", OPS, Parameters("put, 1000 keys"), AtLeast(0.8)),
    goal("W15", "get, 100000 keys", OPS, Parameters("get, 1000 keys"), AtLeast(0.8)),
    goal("W15", "put, 1000000 keys", OPS, Parameters("put, 1000 keys"), AtLeast(0.8)),
    goal("W15", "get, 1000000 keys", OPS, Parameters("get, 1000 keys"), AtLeast(0.8)),
    goal("W15", "put, 10000 sessions", OPS, Parameters("put, 1 session"), AtLeast(0.8)),
    goal("W15", "put during snapshots, 1000000 keys", "p999_us", Itself, AtMost(10_000.0)),
    goal("W1", "1 caller", "p50_us", Above("W16", "append + fdatasync, preallocated"), AtMost(300.0)),
    Goal { of: Of::Worst, ..goal("calm", "full load", "elections", Itself, AtMost(0.0)) },
];

/// The ttl of the sessions and a second.
const GONE_S: f64 = 11.0;

/// Judges every goal of the cases that were run; how many others there are.
pub(super) fn judge(rows: &[Row]) -> (Vec<Verdict>, usize) {
    let of_case = |goal: &Goal, row: &Row| row.workload == goal.workload && row.parameters == goal.parameters;
    let run = |goal: &&Goal| rows.iter().any(|row| of_case(goal, row));
    let verdicts: Vec<_> = GOALS.iter().filter(run).map(|goal| goal.judge(rows)).collect();
    let others = GOALS.len() - verdicts.len();
    (verdicts, others)
}

impl Goal {
    fn judge(&self, rows: &[Row]) -> Verdict {
        let values: Vec<f64> = rows.iter().filter_map(|row| self.value(row, rows)).collect();
        let worst = match self.bound {
            AtLeast(_) => values.iter().copied().min_by(f64::total_cmp),
            AtMost(_) => values.iter().copied().max_by(f64::total_cmp),
        };
        let median = median(&values);
        let judged = if self.of == Of::Median { median } else { worst };
        let judgement = judged.map_or(Judgement::NothingToCompare, |value| self.bound.judge(value));
        let goal = format!("{} {}: {}", self.workload, self.parameters, self.figure);
        Verdict { goal, wanted: self.wanted(), median, worst, judgement }
    }

    /// What this row counts for; `None` for a row that is not of this goal.
    fn value(&self, row: &Row, rows: &[Row]) -> Option<f64> {
        if row.system != OURS || row.workload != self.workload || row.parameters != self.parameters {
            return None;
        }
        let value = row.figures.named(self.figure)?;
        match self.basis {
            Itself => Some(value),
            Peer => ratio(row, rows, self.figure, self.bound.better()),
            Parameters(other) => {
                let base = of(rows, self.workload, other, self.figure, Some(row.repeat))?;
                (base > 0.0).then_some(value / base)
            }
            Above(workload, parameters) => Some(value - of(rows, workload, parameters, self.figure, None)?),
        }
    }

    fn wanted(&self) -> String {
        let (sign, bound) = match self.bound {
            AtLeast(bound) => (">=", bound),
            AtMost(bound) => ("<=", bound),
        };
        let basis = match self.basis {
            Itself => String::new(),
            Peer => " of the better peer".to_owned(),
            Parameters(other) => format!(" of that with {other}"),
            Above(_, parameters) => format!(" above {parameters}"),
        };
        let of = if self.of == Of::Worst { ", always" } else { "" };
        format!("{sign} {bound}{basis}{of}")
    }
}

/// The median of a figure of ours or of the machine, of one repeat or of all.
fn of(rows: &[Row], workload: &str, parameters: &str, figure: &str, repeat: Option<usize>) -> Option<f64> {
    let of_case = rows.iter().filter(|row| row.workload == workload && row.parameters == parameters);
    let ours = of_case.filter(|row| row.system == OURS || row.system == "machine");
    let chosen = ours.filter(|row| repeat.is_none_or(|repeat| row.repeat == repeat));
    median(&chosen.filter_map(|row| row.figures.named(figure)).collect::<Vec<_>>())
}

impl Bound {
    fn better(self) -> Better {
        match self {
            AtLeast(_) => Better::Higher,
            AtMost(_) => Better::Lower,
        }
    }

    fn judge(self, value: f64) -> Judgement {
        let (missed_by, bound) = match self {
            AtLeast(bound) => (bound - value, bound),
            AtMost(bound) => (value - bound, bound),
        };
        if missed_by <= 0.0 {
            return Judgement::Met;
        }
        Judgement::Missed(if bound == 0.0 { missed_by } else { missed_by / bound })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::row;
    use crate::workload::{Case, Depth};

    fn in_case(mut row: Row, workload: &'static str, parameters: &str) -> Row {
        row.workload = workload;
        row.parameters = parameters.to_owned();
        row
    }

    #[test]
    fn a_ratio_is_judged_by_its_median() {
        let goal = goal("W2", "16 callers", OPS, Peer, AtLeast(4.0));
        let rows: Vec<Row> = [(1, 50.0), (2, 30.0), (3, 44.0)]
            .into_iter()
            .flat_map(|(repeat, ours)| [row("raft", repeat, ours), row("etcd", repeat, 10.0)])
            .map(|row| in_case(row, "W2", "16 callers"))
            .collect();
        let verdict = goal.judge(&rows);
        assert_eq!((verdict.median, verdict.worst), (Some(4.4), Some(3.0)));
        assert_eq!(verdict.judgement, Judgement::Met);
        assert_eq!(verdict.wanted, ">= 4 of the better peer");
    }

    #[test]
    fn a_miss_says_by_how_much() {
        assert_eq!(AtLeast(4.0).judge(3.0), Judgement::Missed(0.25));
        assert_eq!(AtMost(0.2).judge(0.3), Judgement::Missed((0.3 - 0.2) / 0.2));
        assert_eq!(AtMost(0.0).judge(2.0), Judgement::Missed(2.0));
        assert_eq!(AtMost(0.2).judge(0.2), Judgement::Met);
    }

    #[test]
    fn the_worst_decides_where_it_has_to() {
        let goal = Goal { of: Of::Worst, ..goal("W1", "1 caller", OPS, Itself, AtMost(20.0)) };
        let rows = [row("raft", 1, 10.0), row("raft", 2, 30.0), row("raft", 3, 10.0)];
        assert_eq!(goal.judge(&rows).judgement, Judgement::Missed(0.5));
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        let alone = [row("raft", 1, 100.0)];
        let to_peer = goal("W1", "1 caller", OPS, Peer, AtLeast(2.0));
        assert_eq!(to_peer.judge(&alone).judgement, Judgement::NothingToCompare);
    }

    #[test]
    fn growth_and_limits_are_compared_with_other_rows() {
        let rows = [
            in_case(row("raft", 1, 100.0), "W15", "few"),
            in_case(row("raft", 1, 70.0), "W15", "many"),
            in_case(row("machine", 1, 60.0), "W16", "limit"),
        ];
        let flat = goal("W15", "many", OPS, Parameters("few"), AtLeast(0.8)).judge(&rows);
        assert_eq!(flat.median, Some(0.7));
        let above = goal("W15", "many", OPS, Above("W16", "limit"), AtMost(20.0)).judge(&rows);
        assert_eq!((above.median, above.judgement), (Some(10.0), Judgement::Met));
    }

    #[test]
    fn every_goal_is_of_a_case_that_is_run() {
        let cases: Vec<_> = Case::all(Depth::Full).iter().map(|case| (case.workload(), case.to_string())).collect();
        let known = |workload: &str, parameters: &str| cases.contains(&(workload, parameters.to_owned()));
        for goal in GOALS {
            let case = Case::all(Depth::Full).into_iter().find(|case| case.workload() == goal.workload);
            assert!(case.is_some() && known(goal.workload, goal.parameters), "{goal:?}");
            if let Some((workload, parameters)) = match goal.basis {
                Parameters(parameters) => Some((goal.workload, parameters)),
                Above(workload, parameters) => Some((workload, parameters)),
                Itself | Peer => None,
            } {
                assert!(known(workload, parameters), "{goal:?}");
            }
        }
    }
}
