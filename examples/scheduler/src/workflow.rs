//! Workflows: what is to run, and after what.

mod file;
mod graph;
mod validate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::duration::Span;
use crate::name::Name;

pub use validate::{Mistakes, TASKS_MAX, WORKFLOW_LEN_MAX, WORKFLOW_NAME_LEN_MAX};

/// A workflow that was checked: names are unique, dependencies exist and have no cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    /// Its name.
    pub name: Name,
    /// Its tasks, in the order of the file.
    pub tasks: Vec<Task>,
}

/// One task of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its name, unique in the workflow.
    pub id: Name,
    /// What `sh -c` runs.
    pub command: String,
    /// The tasks that must have succeeded before.
    pub depends_on: Vec<Name>,
    /// How many further attempts follow a failure or a timeout.
    pub retries: u32,
    /// The pause before a further attempt.
    pub retry_delay: Span,
    /// How long one attempt may take; `None`: as long as it takes.
    pub timeout: Option<Span>,
    /// Which workers may run it.
    pub group: Name,
    /// Environment variables of the command.
    pub env: BTreeMap<String, String>,
}

impl Workflow {
    /// Reads and checks a workflow file.
    ///
    /// # Errors
    ///
    /// [`Mistakes`]: everything that is wrong, one line each.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        validate::workflow(text)
    }

    /// The task of this name.
    #[must_use]
    pub fn task(&self, id: &Name) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == *id)
    }
}
