//! Records of workflows and of their instances.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::workflow::Workflow;

/// The newest definition of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowRecord {
    /// The definition.
    pub workflow: Workflow,
    /// When it was submitted last, for people.
    pub submitted_at: u64,
}

/// One run of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// Of which workflow.
    pub workflow: Name,
    /// How far it is.
    pub state: InstanceState,
    /// When it was submitted, for people.
    pub submitted_at: u64,
    /// When it ended, for people.
    pub ended_at: Option<u64>,
    /// The master that drives it, or drove it last.
    pub driver: Option<Name>,
    /// The fencing token under which the driver drives it.
    pub token: Option<String>,
    /// How many times a driver took it over from another one.
    pub takeovers: u32,
}

impl InstanceRecord {
    /// An instance that nobody has driven yet.
    #[must_use]
    pub fn submitted(workflow: Name, submitted_at: u64) -> Self {
        Self {
            workflow,
            state: InstanceState::Submitted,
            submitted_at,
            ended_at: None,
            driver: None,
            token: None,
            takeovers: 0,
        }
    }
}

/// How far an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Nobody has driven it yet.
    Submitted,
    /// A master drives it.
    Running,
    /// Every task succeeded.
    Succeeded,
    /// Some task failed; the tasks that depend on it were skipped.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl InstanceState {
    /// Whether it will not change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// As in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
