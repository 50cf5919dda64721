//! The figures of one run of the demo, and the verdict on them.

use std::fs;
use std::path::Path;

use comfy_table::{Cell, Table, presets};
use serde::{Deserialize, Serialize};

use crate::command::{Outcome, say};

/// What was measured and counted in one run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) backend: &'static str,
    pub(super) tasks: usize,
    pub(super) accepted_once: usize,
    /// Tasks that did not end as they must.
    pub(super) wrong: Vec<String>,
    /// Tasks that were tried more than once.
    pub(super) repeated_tasks: usize,
    pub(super) lost_attempts: usize,
    pub(super) killed: Vec<Killing>,
    pub(super) ledger: LedgerFigures,
}

/// What followed the death of one process; times are milliseconds after the kill.
#[derive(Debug, Default, Serialize)]
pub(super) struct Killing {
    pub(super) name: String,
    pub(super) leader_elected_ms: Option<u64>,
    pub(super) noticed_ms: Option<u64>,
    pub(super) taken_over_by: Option<String>,
    pub(super) taken_over_ms: Option<u64>,
}

/// What `scheduler ledger check --json` says.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct LedgerFigures {
    effects: usize,
    resources: usize,
    duplicates: Vec<String>,
    confirmed: usize,
    refused: usize,
}

impl Figures {
    /// Success only if every task has exactly one accepted result and one effect.
    pub(super) fn verdict(&self) -> Outcome {
        if let Some(first) = self.wrong.first() {
            return Err(format!("{} tasks did not end as they must, the first: {first}", self.wrong.len()));
        }
        let Self { tasks, accepted_once, ledger, .. } = self;
        if tasks != accepted_once {
            return Err(format!("{accepted_once} of {tasks} tasks have exactly one accepted result"));
        }
        if ledger.effects != *tasks || ledger.resources != *tasks || !ledger.duplicates.is_empty() {
            return Err(format!("the ledger does not hold each of {tasks} effects once: {ledger:?}"));
        }
        Ok(())
    }
}

/// Shows the figures.
pub(super) fn print(figures: &Figures) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["killed", "new leader after", "death noticed after", "taken over by", "taken over after"]);
    for killing in &figures.killed {
        table.add_row([
            Cell::new(&killing.name),
            Cell::new(shown(killing.leader_elected_ms)),
            Cell::new(shown(killing.noticed_ms)),
            Cell::new(killing.taken_over_by.as_deref().unwrap_or("-")),
            Cell::new(shown(killing.taken_over_ms)),
        ]);
    }
    say(&table.to_string());
    let Figures { tasks, accepted_once, repeated_tasks, lost_attempts, ledger, .. } = figures;
    say(&format!(
        "tasks: {tasks}; with exactly one accepted result: {accepted_once}; tried again: {repeated_tasks} ({lost_attempts} attempts lost)"
    ));
    say(&format!(
        "ledger: {} effects of {} resources, {} twice; {} confirmed by a later attempt, {} refused",
        ledger.effects,
        ledger.resources,
        ledger.duplicates.len(),
        ledger.confirmed,
        ledger.refused
    ));
}

/// Writes the figures as JSON.
pub(super) fn write(figures: &Figures, path: &Path) -> Outcome {
    let text = serde_json::to_string_pretty(figures).map_err(|error| error.to_string())?;
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn shown(milliseconds: Option<u64>) -> String {
    milliseconds.map_or_else(|| "-".to_owned(), |milliseconds| format!("{milliseconds} ms"))
}
