//! Runs the cases: every repeat of a case on one system after the other, so that what disturbs one disturbs all.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::cluster::{Cluster, Containers, Description, Fleet, Kind, free_ports};
use crate::load::{Scene, Span};
use crate::report::{self, Header};
use crate::row::{Figures, Row};
use crate::usage::{FOREIGN_SHARE_MAX, load_average, machine};
use crate::workload::{self, Case, Depth, NAMES, Path};
use crate::{Outcome, line, print, say};

/// Members of every cluster.
const MEMBERS: usize = 3;
/// Why some cases have no figures of the peers.
const OF_OURS: &str = "not run: has a goal for ours only";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The systems to compare with: JSON, as `cargo xtask bench` writes it.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Where everything is kept that is measured; it is emptied.
    #[arg(long)]
    data: PathBuf,
    /// Where the rows and the plots are written.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    choice: Choice,
    /// How often each case is run on each system.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
}

/// Which cases are run.
#[derive(Debug, Args)]
pub(crate) struct Choice {
    /// Only these workloads.
    #[arg(long, value_delimiter = ',', ignore_case = true, value_parser = PossibleValuesParser::new(NAMES))]
    only: Vec<String>,
    /// Only the cases whose line of progress contains this.
    #[arg(long)]
    case: Option<String>,
    /// Short runs of the cases that tell most, once each.
    #[arg(long)]
    quick: bool,
}

impl Options {
    fn repeats(&self, case: Case, kind: Kind) -> usize {
        let once = self.choice.quick || (kind != Kind::Raft && !case.is_compared());
        if once || matches!(case, Case::Calm { .. }) { 1 } else { self.repeats.max(1) }
    }

    fn span(&self) -> Span {
        let milliseconds = if self.choice.quick { (300, 1000) } else { (500, 3500) };
        Span { warm_up: Duration::from_millis(milliseconds.0), measured: Duration::from_millis(milliseconds.1) }
    }

    /// How long puts, and then gets, are made before anything is measured.
    fn warm_up(&self) -> Duration {
        Duration::from_secs(if self.choice.quick { 1 } else { 5 })
    }

    /// Through what a case is run, in this order; none of them always comes first.
    fn paths(&self, case: Case, kind: Kind, repeat: usize) -> Vec<Path> {
        if kind == Kind::Raft {
            return vec![Path::Registry];
        }
        let mut paths = case.paths().to_vec();
        if self.choice.quick {
            paths.retain(|path| *path != Path::SameSteps);
        }
        let first = repeat % paths.len();
        paths.rotate_left(first);
        paths
    }
}

impl Choice {
    /// **Errors**: there is no such case.
    fn cases(&self) -> Outcome<Vec<Case>> {
        let of_these = |case: &Case| self.only.iter().any(|name| name.eq_ignore_ascii_case(case.workload()));
        let part = self.case.as_deref().unwrap_or_default();
        let depth = if self.quick { Depth::Quick } else { Depth::Full };
        let mut cases = Case::all(depth);
        cases.retain(|case| (self.only.is_empty() || of_these(case)) && case.line().contains(part));
        if cases.is_empty() {
            return Err(format!("no case contains \"{part}\"; all of them: {}", lines(&Case::all(depth))));
        }
        Ok(cases)
    }
}

fn lines(cases: &[Case]) -> String {
    cases.iter().map(|case| format!("\"{}\"", case.line())).collect::<Vec<_>>().join(", ")
}

/// Prints the line of each case that would be run.
pub(crate) fn list(choice: &Choice) -> Outcome<()> {
    choice.cases()?.into_iter().for_each(|case| print(&case.line()));
    Ok(())
}

pub(crate) async fn run(options: &Options) -> Outcome<()> {
    let cases = options.choice.cases()?;
    empty(&options.data)?;
    fs::create_dir_all(&options.out).map_err(|error| format!("{}: {error}", options.out.display()))?;
    let mut clusters = clusters(options).await?;
    let systems = clusters.iter().map(|cluster| format!("{} {}", cluster.name(), cluster.version())).collect();
    let mut header = Header { machine: machine(), systems, load: vec![load_average()], quick: options.choice.quick };
    say(&header.to_string());
    for cluster in &mut clusters {
        workload::warm_up(cluster, &options.data, options.warm_up()).await?;
    }
    let (start, mut rows, mut last) = (Instant::now(), Vec::new(), "");
    for case in cases {
        if case.workload() != last && !options.choice.quick && case.begins_anew() {
            for cluster in &mut clusters {
                renew(cluster).await;
            }
        }
        last = case.workload();
        say(&format!("{:>5.0} s  {}", start.elapsed().as_secs_f64(), case.line()));
        let begun = rows.len();
        repeat(options, case, &mut clusters, &mut rows).await;
        report::fill_ratios(rows.get_mut(begun..).unwrap_or_default());
        // What was measured is there also when a later case is broken off.
        report::write(&header, &rows, &options.out)?;
    }
    header.load.push(load_average());
    say(&format!("{:>5.0} s  done", start.elapsed().as_secs_f64()));
    for cluster in &mut clusters {
        cluster.clear().await?;
    }
    let _ = fs::remove_dir_all(&options.data);
    let written = report::write(&header, &rows, &options.out)?;
    print(&written);
    Ok(())
}

/// Ours, running, and the peers.
async fn clusters(options: &Options) -> Outcome<Vec<Cluster>> {
    let mut ours = Cluster::Fleet(Fleet::new(&options.data.join("members"), free_ports(MEMBERS)?, ""));
    ours.renew().await?;
    let mut clusters = vec![ours];
    if let Some(path) = &options.peers {
        let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let peers: Vec<Description> = serde_json::from_slice(&text).map_err(line)?;
        for peer in peers {
            clusters.push(Cluster::Containers(Containers::attach(peer).await?));
        }
    }
    Ok(clusters)
}

/// Servers that do not come back show in the rows that follow; the run goes on.
async fn renew(cluster: &mut Cluster) {
    if let Err(error) = cluster.renew().await {
        say(&format!("         {error}"));
    }
}

fn empty(directory: &FilePath) -> Outcome<()> {
    // What is not there need not be removed; everything else shows when it is created.
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))
}

/// Runs a case on every system, and all of that again.
async fn repeat(options: &Options, case: Case, clusters: &mut [Cluster], rows: &mut Vec<Row>) {
    for repeat in 1..=options.repeats(case, Kind::Raft) {
        for index in 0..clusters.len() {
            let others: Vec<u32> = others(clusters, index);
            let Some(cluster) = clusters.get_mut(index) else { continue };
            if repeat > options.repeats(case, cluster.kind()) || (case.is_of_machine() && index > 0) {
                continue;
            }
            let kind = cluster.kind();
            for path in options.paths(case, kind, repeat) {
                let (span, directory) = (options.span(), options.data.as_path());
                let mut scene = Scene { cluster: &mut *cluster, others: &others, span, directory };
                let measured = run_once(case, &mut scene, path).await;
                let row = row(options, case, cluster, path, repeat, measured);
                say(&format!("         {}", report::summary(&row)));
                if row.error.as_ref().is_some_and(|error| error != OF_OURS) {
                    // Whatever failed may have left servers behind that do not serve.
                    renew(cluster).await;
                }
                rows.push(row);
            }
        }
    }
}

async fn run_once(case: Case, scene: &mut Scene<'_>, path: Path) -> Outcome<Figures> {
    if case.is_of_ours() && scene.cluster.kind() != Kind::Raft {
        return Err(OF_OURS.to_owned());
    }
    if case.needs_fresh() {
        scene.cluster.renew().await?;
    }
    case.run(scene, path).await
}

fn others(clusters: &[Cluster], index: usize) -> Vec<u32> {
    let others = clusters.iter().enumerate().filter(|(other, _)| *other != index);
    others.flat_map(|(_, cluster)| cluster.processes()).collect()
}

fn row(options: &Options, case: Case, cluster: &Cluster, path: Path, repeat: usize, measured: Outcome<Figures>) -> Row {
    let (figures, error) = match measured {
        Ok(figures) => (figures, None),
        Err(error) => (Figures::default(), Some(error)),
    };
    let (system, version) = match (case.is_of_machine(), path) {
        (true, _) => ("machine".to_owned(), String::new()),
        (false, Path::Registry) => (cluster.name().to_owned(), cluster.version().to_owned()),
        (false, Path::Raw) => (format!("{} (raw client)", cluster.name()), cluster.version().to_owned()),
        (false, Path::SameSteps) => (format!("{}{}", cluster.name(), report::SAME_STEPS), cluster.version().to_owned()),
    };
    let disturbed = figures.foreign_cpu.is_some_and(|share| share > FOREIGN_SHARE_MAX);
    let (workload, parameters, quick) = (case.workload(), case.to_string(), options.choice.quick);
    Row { workload, system, version, parameters, repeat, figures, ratio: None, quick, disturbed, error }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        choice: Choice,
    }

    fn lines_of(arguments: &[&str]) -> Outcome<Vec<String>> {
        let line = Line::try_parse_from(["cases"].iter().chain(arguments)).map_err(line)?;
        Ok(line.choice.cases()?.into_iter().map(Case::line).collect())
    }

    #[test]
    fn cases_are_chosen_by_workload_and_by_a_part_of_their_line() {
        assert_eq!(lines_of(&["--only", "w8"]).unwrap(), ["W8 1 caller, a lock each", "W8 16 callers, a lock each"]);
        assert_eq!(lines_of(&["--case", "16 callers, a lock"]).unwrap(), ["W8 16 callers, a lock each"]);
        assert_eq!(lines_of(&["--only", "W1", "--case", "1 caller"]).unwrap(), ["W1 1 caller"]);
        assert_eq!(lines_of(&[]).unwrap().len(), Case::all(Depth::Full).len());
    }

    #[test]
    fn a_part_that_no_case_has_is_refused_and_all_cases_are_named() {
        let refused = lines_of(&["--case", "17 callers"]).unwrap_err();
        assert!(refused.starts_with("no case contains \"17 callers\"; all of them: "), "{refused}");
        assert!(refused.contains("\"W8 16 callers, a lock each\""), "{refused}");
    }
}
