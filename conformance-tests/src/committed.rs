//! What a backend commits about itself, compared with what a run finds: what it declares, and which cases do not run.

use std::path::PathBuf;

use libtest_mimic::{Failed, Trial};

use crate::harness::NOT_COMMITTED;
use crate::plan::Plan;
use crate::report::{declaration, report_dir};

const CASES: &str = "report::the_cases_that_do_not_run_are_the_committed_ones";
const CAPABILITIES: &str = "report::the_capabilities_are_the_committed_ones";

/// The names of the trials, without the harness.
pub(crate) const NAMES: [&str; 2] = [CASES, CAPABILITIES];

/// The trials that fail unless what was committed is what this run finds.
pub(crate) fn trials(plan: &Plan) -> [Trial; 2] {
    let harness = plan.harness.name();
    let cases = Comparison {
        found: plan.not_run(),
        committed: plan.harness.expected(),
        file: report_dir().join(format!("{harness}.expected.txt")),
    };
    let capabilities = Comparison {
        found: declaration(plan),
        committed: plan.harness.capabilities(),
        file: report_dir().join(format!("{}.capabilities.json", plan.backend)),
    };
    [(CASES, cases), (CAPABILITIES, capabilities)]
        .map(|(name, comparison)| Trial::test(name, move || comparison.verdict()).with_kind(harness))
}

struct Comparison {
    found: String,
    committed: &'static str,
    /// Where what was found is left for whoever commits it.
    file: PathBuf,
}

impl Comparison {
    fn verdict(&self) -> Result<(), Failed> {
        if self.committed == NOT_COMMITTED || self.found == self.committed {
            return Ok(());
        }
        let lines_only_in = |one: &str, other: &str| {
            one.lines().filter(|line| !other.lines().any(|known| known == *line)).map(str::to_owned).collect::<Vec<_>>()
        };
        let new = lines_only_in(&self.found, self.committed);
        let gone = lines_only_in(self.committed, &self.found);
        let written =
            std::fs::create_dir_all(report_dir()).and_then(|()| std::fs::write(&self.file, self.found.as_bytes()));
        let advice = match written {
            Ok(()) => format!("as it is now: {}", self.file.display()),
            Err(error) => format!("as it is now could not be written: {error}"),
        };
        Err(Failed::from(format!("not committed: {new:#?}\ncommitted only: {gone:#?}\n{advice}")))
    }
}
