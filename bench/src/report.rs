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
use crate::{Outcome, line};

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

/// Writes the rows (`rows.json`), the plots, and the tables (`tables.txt`), which are returned.
pub(crate) fn write(header: &Header, rows: &[Row], directory: &Path) -> Outcome<String> {
    let save = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display())).map(|()| path)
    };
    let mut text = tables(header, rows);
    let json = serde_json::to_string_pretty(rows).map_err(line)?;
    text.push_str(&format!("rows: {}\n", save("rows.json", &json)?.display()));
    for plot in plots::draw(rows, directory)? {
        text.push_str(&format!("plot: {}\n", plot.display()));
    }
    save("tables.txt", &text)?;
    Ok(text)
}

fn tables(header: &Header, rows: &[Row]) -> String {
    let mut parts = vec![header.to_string(), table::figures(rows), table::verdicts(&goals::judge(rows))];
    parts.extend(table::overheads(&overhead::overheads(rows)));
    parts.extend(rows.iter().filter(|row| row.error.is_some()).map(summary));
    let disturbed = rows.iter().filter(|row| row.disturbed).count();
    if disturbed > 0 {
        let (percent, runs) = (FOREIGN_SHARE_MAX * 100.0, rows.len());
        parts.push(format!(
            "disturbed: in {disturbed} of {runs} runs, other processes took more than {percent} % of this machine (marked *)"
        ));
    }
    parts.push(String::new());
    parts.join("\n")
}
