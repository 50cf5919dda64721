//! What a run says in the end: tables, goals, plots, and the rows as JSON.

mod goals;
mod overhead;
mod plots;
mod statistics;
mod table;

use std::fmt;
use std::fs;
use std::path::Path;

use crate::row::Row;
use crate::usage::FOREIGN_SHARE_MAX;
use crate::{Outcome, line, print};

pub(crate) use overhead::SAME_STEPS;
pub(crate) use statistics::fill_ratios;
pub(crate) use table::summary;

/// What the figures hold for.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) machine: String,
    /// Each with its version.
    pub(crate) systems: Vec<String>,
    /// The load average before, and afterwards.
    pub(crate) load: Vec<String>,
    pub(crate) quick: bool,
}

impl fmt::Display for Header {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "machine: {}", self.machine)?;
        writeln!(formatter, "systems: {}", self.systems.join(", "))?;
        write!(formatter, "load average: {}", self.load.join(" before, afterwards "))?;
        if self.quick {
            write!(formatter, "\nquick: short runs, once each: good for a look, not for a judgement")?;
        }
        Ok(())
    }
}

/// Writes every row: `rows.json`.
pub(crate) fn write_rows(directory: &Path, rows: &[Row]) -> Outcome<()> {
    let path = directory.join("rows.json");
    let text = serde_json::to_string_pretty(rows).map_err(line)?;
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Prints the tables, and draws the plots.
pub(crate) fn print_all(header: &Header, rows: &[Row], directory: &Path) -> Outcome<()> {
    let plots = plots::draw(rows, directory)?;
    print(&header.to_string());
    print(&table::figures(rows));
    print(&table::verdicts(&goals::judge(rows)));
    if let Some(table) = table::overheads(&overhead::overheads(rows)) {
        print(&table);
    }
    for row in rows.iter().filter(|row| row.error.is_some()) {
        print(&summary(row));
    }
    let disturbed = rows.iter().filter(|row| row.disturbed).count();
    if disturbed > 0 {
        let percent = FOREIGN_SHARE_MAX * 100.0;
        print(&format!(
            "disturbed: in {disturbed} of {} runs, other processes took more than {percent} % of this machine (marked *)",
            rows.len()
        ));
    }
    print(&format!("rows: {}", directory.join("rows.json").display()));
    for plot in plots {
        print(&format!("plot: {}", plot.display()));
    }
    Ok(())
}
