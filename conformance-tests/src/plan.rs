//! Which cases run on a harness, and why the others do not.

use std::fmt::Write as _;
use std::sync::Arc;

use registry_api::{Capability, Registry, Support};

use crate::{Case, Cluster, Harness, Outcome};

/// A started cluster, and what is to be done on it.
pub(crate) struct Plan {
    pub(crate) harness: Arc<dyn Harness>,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) backend: &'static str,
    pub(crate) support: Vec<(Capability, Support)>,
    /// The table of capabilities, as it is printed.
    pub(crate) capabilities: String,
    pub(crate) cases: Vec<Ready>,
}

/// A case with the decision about it.
#[derive(Clone)]
pub(crate) struct Ready {
    pub(crate) case: Case,
    pub(crate) verdict: Verdict,
}

/// Whether and how a case runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// At the same time as others, on the cluster they share.
    Together,
    /// Alone, on a cluster of its own.
    Alone,
    /// Not on this harness, for this reason.
    NotHere(String),
}

impl Plan {
    /// Starts the cluster that cases share, and asks it what it can do.
    pub(crate) async fn make(harness: Arc<dyn Harness>, cases: Vec<Case>) -> Outcome<Self> {
        let cluster = harness.start().await?;
        let registry = cluster.connect().await?;
        let support: Vec<_> = Capability::ALL.iter().map(|&each| (each, registry.support(each))).collect();
        let ready = cases.into_iter().map(|case| {
            let verdict = decide(&case, &*harness, &*registry);
            Ready { case, verdict }
        });
        let cases = ready.collect();
        let backend = registry.backend();
        let capabilities = table(&support);
        Ok(Self { harness, cluster, backend, support, capabilities, cases })
    }

    /// The cases that do not run here, one a line with the reason, sorted.
    pub(crate) fn not_run(&self) -> String {
        let mut lines: Vec<_> = self.cases.iter().filter_map(not_run_line).collect();
        lines.sort();
        lines.concat()
    }
}

fn not_run_line(ready: &Ready) -> Option<String> {
    match &ready.verdict {
        Verdict::NotHere(reason) => Some(format!("{}: {reason}\n", ready.case.name())),
        Verdict::Together | Verdict::Alone => None,
    }
}

fn decide(case: &Case, harness: &dyn Harness, registry: &dyn Registry) -> Verdict {
    if let Some(what) = case.what_is_missing() {
        return Verdict::NotHere(format!("missing: {what}"));
    }
    if harness.members() < case.needed_members() {
        return Verdict::NotHere(format!("ignored: needs {} members", case.needed_members()));
    }
    for capability in case.needed_capabilities() {
        if let Support::Limited(why) | Support::Unsupported(why) = registry.support(*capability) {
            return Verdict::NotHere(format!("ignored: {capability} is not given in full: {why}"));
        }
    }
    match case.needed_faults().iter().find(|fault| !fault.is_among(harness.faults())) {
        Some(fault) => Verdict::NotHere(format!("ignored: this harness cannot {fault}")),
        None if case.is_alone() => Verdict::Alone,
        None => Verdict::Together,
    }
}

fn table(support: &[(Capability, Support)]) -> String {
    let mut text = String::new();
    for (capability, support) in support {
        let (level, why) = words(*support);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:<30} {level:<12} {why}", capability.to_string());
    }
    text
}

/// The level of a capability, and its reason.
pub(crate) fn words(support: Support) -> (&'static str, &'static str) {
    match support {
        Support::Full => ("full", ""),
        Support::Limited(why) => ("limited", why),
        Support::Unsupported(why) => ("unsupported", why),
    }
}
