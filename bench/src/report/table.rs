//! The tables: medians of every case, and the goals.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};

use super::goals::{Judgement, Verdict};
use super::overhead::{Overhead, Ratios, WANTED};
use super::statistics::{median, spread};
use crate::row::Row;

/// The median of every case on every system, as it was run.
pub(super) fn figures(rows: &[Row]) -> String {
    let mut table = table(&[
        "workload",
        "system",
        "runs",
        "per s",
        "spread",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "server us",
        "client us",
        "server MB",
        "fsyncs",
        "ratio (worst)",
        "also",
    ]);
    for group in groups(rows) {
        table.add_row(cells(&group));
    }
    right(&mut table, 2..=12);
    format!(
        "medians; us of CPU per operation, of all servers and of the clients; MB of the largest server; fsyncs per operation\n{table}"
    )
}

/// Every goal, and what came of it.
pub(super) fn verdicts((verdicts, others): &(Vec<Verdict>, usize)) -> String {
    let mut table = table(&["goal", "wanted", "median", "worst", ""]);
    for verdict in verdicts {
        let judgement = match verdict.judgement {
            Judgement::Met => "met".to_owned(),
            Judgement::Missed(share) => format!("MISSED by {:.0} %", share * 100.0),
            Judgement::NothingToCompare => "nothing to compare".to_owned(),
        };
        let Verdict { goal, wanted, median, worst, .. } = verdict;
        table.add_row([goal.clone(), wanted.clone(), number(*median), number(*worst), judgement]);
    }
    right(&mut table, 2..=3);
    let met = verdicts.iter().filter(|verdict| verdict.judgement == Judgement::Met).count();
    format!("{table}\n{met} of {} goals met; {others} more are of cases that were not in this run", verdicts.len())
}

/// What our backends add; nothing where nothing was compared.
pub(super) fn overheads(overheads: &[Overhead]) -> Option<String> {
    let mut table = table(&["backend", "case", "p50 (worst)", "CPU (worst)", ""]);
    for overhead in overheads {
        let judgement = if overhead.is_small() { "met" } else { "MISSED" };
        let ratios = |ratios: Ratios| format!("{:.2} ({:.2})", ratios.median, ratios.worst);
        let Overhead { case, system, latency, cpu } = overhead;
        table.add_row([system.clone(), case.clone(), ratios(*latency), ratios(*cpu), judgement.to_owned()]);
    }
    right(&mut table, 2..=3);
    let told = "our backends to the client library that is asked for the same steps: latency in the middle, and CPU of";
    (!overheads.is_empty()).then(|| format!("{told} servers and client; wanted: <= {WANTED}\n{table}"))
}

/// One row in one line.
pub(crate) fn summary(row: &Row) -> String {
    let Row { workload, system, parameters, repeat, figures, .. } = row;
    let title = format!("{workload} {parameters}, {system}, repeat {repeat}");
    if let Some(error) = &row.error {
        return format!("{title}: {error}");
    }
    let known = ["ops_per_s", "p50_us", "p99_us", "server_cpu_us_per_op"]
        .into_iter()
        .chain(figures.others.keys().copied())
        .filter_map(|name| Some(format!("{name} {}", number(Some(figures.named(name)?)))));
    let disturbed = if row.disturbed { ", disturbed" } else { "" };
    format!("{title}: {}{disturbed}", known.collect::<Vec<_>>().join(", "))
}

/// The rows of one case on one system, in the order in which the cases were run.
fn groups(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    let mut places = BTreeMap::new();
    for row in rows {
        let place = *places.entry((row.workload, &row.parameters, &row.system)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

fn cells(group: &[&Row]) -> Vec<String> {
    let Some(first) = group.first() else { return Vec::new() };
    let values = |name: &str| group.iter().filter_map(|row| row.figures.named(name)).collect::<Vec<_>>();
    let shown = |name| number(median(&values(name)));
    let disturbed = if group.iter().any(|row| row.disturbed) { " *" } else { "" };
    let spread = spread(&values("ops_per_s")).filter(|_| group.len() > 1);
    let ratios: Vec<f64> = group.iter().filter_map(|row| row.ratio).collect();
    let worst = ratios.iter().copied().min_by(f64::total_cmp);
    let ratio = median(&ratios).map_or_else(String::new, |median| format!("{median:.2} ({})", number(worst)));
    let mut cells = vec![
        format!("{} {}", first.workload, first.parameters),
        first.system.clone(),
        format!("{}{disturbed}", group.len()),
        shown("ops_per_s"),
        spread.map_or_else(String::new, |spread| format!("{:.0} %", spread * 100.0)),
    ];
    let names = ["p50_us", "p99_us", "p999_us", "server_cpu_us_per_op", "client_cpu_us_per_op", "server_rss_mb"];
    cells.extend(names.map(shown));
    cells.extend([shown("fsyncs_per_op"), ratio, also(group)]);
    cells
}

/// What only this workload measures, or why there is nothing.
fn also(group: &[&Row]) -> String {
    let names = group.iter().flat_map(|row| row.figures.others.keys().copied());
    let names: std::collections::BTreeSet<_> = names.collect();
    let median_of = |name: &str| median(&group.iter().filter_map(|row| row.figures.named(name)).collect::<Vec<_>>());
    let mut told: Vec<String> = names.into_iter().map(|name| format!("{name} {}", number(median_of(name)))).collect();
    if group.iter().any(|row| row.error.is_some()) {
        told.push("failed: see below".to_owned());
    }
    told.join(", ")
}

/// Three digits that count.
fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value == 0.0 || value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 0.1 => format!("{value:.2}"),
        Some(value) => format!("{value:.4}"),
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    table
}

fn right(table: &mut Table, columns: std::ops::RangeInclusive<usize>) {
    for index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::row;

    #[test]
    fn repeats_are_one_line_with_their_median() {
        let rows = [row("raft", 1, 100.0), row("etcd", 1, 10.0), row("raft", 2, 300.0), row("raft", 3, 200.0)];
        let text = figures(&rows);
        let line = text.lines().find(|line| line.contains("raft")).unwrap();
        assert!(line.contains(" 3 ") && line.contains(" 200 ") && line.contains("100 %"), "{line}");
    }

    #[test]
    fn what_failed_is_told() {
        let mut failed = row("etcd", 1, 1.0);
        failed.figures = crate::row::Figures::default();
        failed.error = Some("cannot do this".to_owned());
        assert!(figures(&[failed.clone()]).contains("failed"));
        assert_eq!(summary(&failed), "W1 1 caller, etcd, repeat 1: cannot do this");
    }

    #[test]
    fn numbers_have_the_digits_that_count() {
        let shown = [1234.5, 12.34, 0.5, 0.01234, 0.0].map(|value| number(Some(value)));
        assert_eq!(shown, ["1234", "12.3", "0.50", "0.0123", "0"]);
    }
}
