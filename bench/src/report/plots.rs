//! The plots: latency over throughput, and growth over keys and sessions, as SVG.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plotters::prelude::*;

use super::statistics::median;
use crate::row::Row;
use crate::{Outcome, line};

/// A plot of what was measured; both axes are logarithmic.
struct Plot {
    file: &'static str,
    title: &'static str,
    x: &'static str,
    y: &'static str,
    /// The point of a row, where it has one.
    point: fn(&Row) -> Option<(f64, f64)>,
}

const PLOTS: [Plot; 5] = [
    Plot {
        file: "put-latency.svg",
        title: "put: latency over throughput, 1 to 256 callers",
        x: "puts per second",
        y: "p99, us",
        point: |row| latency(row, &["W1", "W2", "W3", "W4"]),
    },
    Plot {
        file: "get-latency.svg",
        title: "linearizable get: latency over throughput, 1 to 256 callers",
        x: "gets per second",
        y: "p99, us",
        point: |row| latency(row, &["W6"]).filter(|_| !row.parameters.contains("local")),
    },
    Plot {
        file: "keys.svg",
        title: "put by 64 callers, over keys",
        x: "keys",
        y: "puts per second",
        point: |row| grown(row, "W15", "put, ", " keys", "ops_per_s"),
    },
    Plot {
        file: "sessions-open.svg",
        title: "opening sessions, each with its connection and key",
        x: "sessions",
        y: "seconds until all are open",
        point: |row| grown(row, "W10", "", " sessions", "open_s"),
    },
    Plot {
        file: "sessions-memory.svg",
        title: "memory of a server, over sessions",
        x: "sessions",
        y: "MB",
        point: |row| grown(row, "W10", "", " sessions", "server_rss_mb"),
    },
];

/// The points of one system.
type Line = Vec<(f64, f64)>;

/// Draws what there are points for; the files.
pub(super) fn draw(rows: &[Row], directory: &Path) -> Outcome<Vec<PathBuf>> {
    let mut drawn = Vec::new();
    for plot in PLOTS {
        let lines = lines(rows, plot.point);
        if lines.values().any(|line| line.len() > 1) {
            let path = directory.join(plot.file);
            draw_one(&plot, &lines, &path).map_err(|error| format!("{}: {error}", path.display()))?;
            drawn.push(path);
        }
    }
    Ok(drawn)
}

/// What the repeats of a case gave, on both axes.
type Points = (Vec<f64>, Vec<f64>);

/// The points of each system: the medians of each case.
fn lines(rows: &[Row], point: fn(&Row) -> Option<(f64, f64)>) -> BTreeMap<&str, Line> {
    let mut points: BTreeMap<(&str, &str, &str), Points> = BTreeMap::new();
    for row in rows {
        if let Some((x, y)) = point(row).filter(|(x, y)| *x > 0.0 && *y > 0.0) {
            let (xs, ys) = points.entry((&row.system, row.workload, &row.parameters)).or_default();
            xs.push(x);
            ys.push(y);
        }
    }
    let mut lines: BTreeMap<&str, Line> = BTreeMap::new();
    for ((system, ..), (xs, ys)) in points {
        lines.entry(system).or_default().extend(median(&xs).zip(median(&ys)));
    }
    for line in lines.values_mut() {
        line.sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    lines
}

fn draw_one(plot: &Plot, lines: &BTreeMap<&str, Line>, path: &Path) -> Outcome<()> {
    let root = SVGBackend::new(path, (900, 560)).into_drawing_area();
    root.fill(&WHITE).map_err(line)?;
    let of = |axis: fn(&(f64, f64)) -> f64| range(lines.values().flatten().map(axis));
    let mut chart = ChartBuilder::on(&root)
        .caption(plot.title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(80)
        .build_cartesian_2d(of(|point| point.0).log_scale(), of(|point| point.1).log_scale())
        .map_err(line)?;
    chart.configure_mesh().x_desc(plot.x).y_desc(plot.y).draw().map_err(line)?;
    for (index, (system, points)) in lines.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let series = LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(4);
        let drawn = chart.draw_series(series).map_err(line)?;
        drawn.label(*system).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw().map_err(line)?;
    root.present().map_err(line)
}

/// From the least to the most, with some room.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (least, most) = values.fold((f64::MAX, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    least * 0.7..most * 1.4
}

fn latency(row: &Row, workloads: &[&str]) -> Option<(f64, f64)> {
    let of_workload = workloads.contains(&row.workload);
    of_workload.then_some(())?;
    row.figures.ops_per_s.zip(row.figures.p99_us)
}

/// The number in the parameters, and a figure.
fn grown(row: &Row, workload: &str, before: &str, after: &str, figure: &str) -> Option<(f64, f64)> {
    let number = row.parameters.strip_prefix(before)?.strip_suffix(after)?.parse().ok()?;
    (row.workload == workload).then_some(())?;
    Some((number, row.figures.named(figure)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::row;

    #[test]
    fn growth_is_over_the_number_in_the_parameters() {
        let mut row = row("raft", 1, 50.0);
        row.workload = "W15";
        row.parameters = "put, 1000 keys".to_owned();
        assert_eq!(grown(&row, "W15", "put, ", " keys", "ops_per_s"), Some((1000.0, 50.0)));
        row.parameters = "put during snapshots, 1000 keys".to_owned();
        assert_eq!(grown(&row, "W15", "put, ", " keys", "ops_per_s"), None);
    }

    #[test]
    fn a_plot_is_drawn_of_what_there_is() {
        let directory = std::env::temp_dir().join(format!("registry-bench-plots-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut rows = vec![row("raft", 1, 100.0), row("raft", 1, 400.0)];
        for row in &mut rows {
            row.figures.p99_us = Some(20.0);
        }
        rows[1].workload = "W2";
        let drawn = draw(&rows, &directory).unwrap();
        assert_eq!(drawn, [directory.join("put-latency.svg")]);
        let svg = std::fs::read_to_string(&drawn[0]).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(svg.contains("raft") && svg.contains("puts per second"));
    }
}
