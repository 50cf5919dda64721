//! A case: one requirement, the guarantees it shows, and what it needs to run.

use std::fmt;

use futures::future::BoxFuture;
use registry_api::Capability;

use crate::{Context, Fault, Guarantee, Outcome};

/// The body of a case.
pub type Body = fn(Context) -> BoxFuture<'static, Outcome>;

/// One requirement of the contract.
#[derive(Clone)]
pub struct Case {
    group: &'static str,
    requirement: &'static str,
    guarantees: &'static [Guarantee],
    needs: Vec<Capability>,
    faults: Vec<Fault>,
    members: usize,
    company: Company,
    body: Availability,
}

/// With whom a case shares a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Others,
    Nobody,
}

#[derive(Clone)]
enum Availability {
    Written(Body),
    /// Belongs to a later step; the text says what is missing.
    Missing(&'static str),
}

impl Case {
    /// A case that runs on every backend.
    #[must_use]
    pub fn new(group: &'static str, requirement: &'static str, guarantees: &'static [Guarantee], body: Body) -> Self {
        Self::with(group, requirement, guarantees, Availability::Written(body))
    }

    /// A requirement that nothing shows yet: reported as missing, never as passed.
    #[must_use]
    pub fn missing(
        group: &'static str,
        requirement: &'static str,
        guarantees: &'static [Guarantee],
        what: &'static str,
    ) -> Self {
        Self::with(group, requirement, guarantees, Availability::Missing(what))
    }

    fn with(
        group: &'static str,
        requirement: &'static str,
        guarantees: &'static [Guarantee],
        body: Availability,
    ) -> Self {
        let (needs, faults, company) = (Vec::new(), Vec::new(), Company::Others);
        Self { group, requirement, guarantees, needs, faults, members: 1, company, body }
    }

    /// Only where the backend gives `capability` in full.
    #[must_use]
    pub fn needs(mut self, capability: Capability) -> Self {
        self.needs.push(capability);
        self
    }

    /// Only where the harness can do `fault`; such a case runs on a cluster of its own, after the others.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// On a cluster of its own, after the others: it writes so much that others would notice.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.company = Company::Nobody;
        self
    }

    /// Only on clusters with at least this many members.
    #[must_use]
    pub fn members(mut self, members: usize) -> Self {
        self.members = members;
        self
    }

    /// `group::requirement`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}::{}", self.group, self.requirement)
    }

    /// The group that it belongs to.
    #[must_use]
    pub fn group(&self) -> &'static str {
        self.group
    }

    /// What it shows, the most important first.
    #[must_use]
    pub fn guarantees(&self) -> &'static [Guarantee] {
        self.guarantees
    }

    /// The capabilities without which it does not apply.
    #[must_use]
    pub fn needed_capabilities(&self) -> &[Capability] {
        &self.needs
    }

    /// The faults without which it cannot be shown.
    #[must_use]
    pub fn needed_faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether it runs on a cluster of its own.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.company == Company::Nobody || !self.faults.is_empty()
    }

    /// How many members it needs.
    #[must_use]
    pub fn needed_members(&self) -> usize {
        self.members
    }

    /// What is missing to write it; `None` for a case that is there.
    #[must_use]
    pub fn what_is_missing(&self) -> Option<&'static str> {
        match self.body {
            Availability::Missing(what) => Some(what),
            Availability::Written(_) => None,
        }
    }

    /// The body; `None` for a missing case.
    #[must_use]
    pub fn body(&self) -> Option<Body> {
        match self.body {
            Availability::Written(body) => Some(body),
            Availability::Missing(_) => None,
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Case").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// Lists the cases of a group: `function => [guarantees] .needs(..) .fault(..);` The function's name is the requirement.
macro_rules! cases {
    ($group:literal; $($body:ident => [$($guarantee:ident),+] $(.$option:ident($($argument:tt)*))*;)+) => {
        vec![$(
            $crate::Case::new(
                $group,
                stringify!($body),
                &[$($crate::Guarantee::$guarantee),+],
                |context| Box::pin($body(context)),
            )$(.$option($($argument)*))*
        ),+]
    };
}

pub(crate) use cases;
