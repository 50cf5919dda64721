//! The report of a run: what was declared, and what every case showed, for people and for the table of the README.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use registry_api::{Capability, Support};
use serde::Serialize;

use crate::plan::{Plan, words};
use crate::{Case, Outcome};

/// Where reports go: `target/conformance`.
pub(crate) fn report_dir() -> PathBuf {
    let executable = std::env::current_exe().unwrap_or_default();
    let target = executable.ancestors().find(|path| path.file_name().is_some_and(|name| name == "target"));
    target.unwrap_or(Path::new("target")).join("conformance")
}

/// Collects the results of cases while they run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<CaseReport>>>);

/// What one case showed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct CaseReport {
    name: String,
    guarantees: Vec<String>,
    result: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    millis: u128,
}

impl CaseReport {
    pub(crate) fn run(case: &Case, outcome: &Outcome, took: Duration) -> Self {
        let (result, detail) = match outcome {
            Ok(()) => ("passed", String::new()),
            Err(broken) => ("failed", broken.to_string()),
        };
        Self { result, detail, millis: took.as_millis(), ..Self::of(case) }
    }

    pub(crate) fn not_run(case: &Case, reason: &str) -> Self {
        let result = if case.what_is_missing().is_some() { "missing" } else { "ignored" };
        Self { result, detail: reason.to_owned(), ..Self::of(case) }
    }

    fn of(case: &Case) -> Self {
        let guarantees = case.guarantees().iter().map(ToString::to_string).collect();
        Self { name: case.name(), guarantees, result: "", detail: String::new(), millis: 0 }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    harness: &'a str,
    backend: &'a str,
    members: usize,
    seed: u64,
    capabilities: Vec<CapabilityReport>,
    cases: Vec<CaseReport>,
}

/// What a backend declares, whatever the harness: committed, and the source of the table in the README.
#[derive(Serialize)]
struct Declaration {
    backend: &'static str,
    capabilities: Vec<CapabilityReport>,
}

#[derive(Serialize)]
struct CapabilityReport {
    capability: String,
    support: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'static str,
}

fn capabilities(plan: &Plan) -> Vec<CapabilityReport> {
    let report = |(capability, support): &(Capability, Support)| {
        let (support, why) = words(*support);
        CapabilityReport { capability: capability.to_string(), support, why }
    };
    plan.support.iter().map(report).collect()
}

/// The declaration of the backend as it is committed.
pub(crate) fn declaration(plan: &Plan) -> String {
    let declaration = Declaration { backend: plan.backend, capabilities: capabilities(plan) };
    // Plain data cannot fail to be written as JSON; an empty text would differ from what is committed.
    let text = serde_json::to_string_pretty(&declaration).unwrap_or_default();
    format!("{text}\n")
}

impl Recorder {
    pub(crate) fn note(&self, report: CaseReport) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }

    /// Writes `target/conformance/<harness>.json`.
    pub(crate) fn write(&self, plan: &Plan, seed: u64) -> std::io::Result<()> {
        let mut cases = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        cases.sort();
        let harness = plan.harness.name();
        let report = Report {
            harness,
            backend: plan.backend,
            members: plan.harness.members(),
            seed,
            capabilities: capabilities(plan),
            cases,
        };
        let text = serde_json::to_vec_pretty(&report).map_err(std::io::Error::other)?;
        std::fs::create_dir_all(report_dir())?;
        std::fs::write(report_dir().join(format!("{harness}.json")), text)
    }
}
