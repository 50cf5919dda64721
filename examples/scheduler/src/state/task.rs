//! Records of tasks: their attempts, the attempt in flight, and what it came to.

use std::fmt;

use registry_api::SessionId;
use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::workflow::Task;

/// How many attempts a task's record keeps; older ones are forgotten, so that the record stays within one value.
pub const ATTEMPTS_KEPT: usize = 10;
/// The most bytes of output that are kept of one attempt: its end.
pub const OUTPUT_LEN_MAX: usize = 4096;

/// A task of an instance. A task without a record is waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// How far it is.
    pub state: TaskState,
    /// How many attempts failed or ran out of time; lost and declined ones do not count.
    pub failures: u32,
    /// How many results were accepted as the task's success: 0 or 1.
    pub accepted: u32,
    /// The number of the newest attempt.
    pub last_attempt: u32,
    /// The newest attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// For its dependencies, or for a worker.
    #[default]
    Waiting,
    /// An attempt is in flight.
    Assigned,
    /// For the delay before a further attempt.
    Retrying,
    /// A result was accepted.
    Succeeded,
    /// Its last attempt failed.
    Failed,
    /// Not run, because a task that it depends on did not succeed.
    Skipped,
    /// The instance was cancelled before it ended.
    Cancelled,
}

impl TaskState {
    /// Whether it will not change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled)
    }

    /// As in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Assigned => "assigned",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One attempt at a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1, 2, ..: grows with every assignment.
    pub number: u32,
    /// By which worker.
    pub worker: Name,
    /// In which session of the worker: with its end, the attempt is lost.
    pub session: SessionId,
    /// The fencing token of the attempt, once it is over.
    pub token: Option<String>,
    /// What became of it.
    pub state: AttemptState,
    /// When it was assigned, for people.
    pub assigned_at: u64,
    /// When its end was recorded, for people.
    pub ended_at: Option<u64>,
    /// The exit code of the command; `None` when it has none (killed by a signal, or never started).
    pub exit_code: Option<i32>,
    /// Why it did not succeed.
    pub reason: Option<String>,
    /// The end of what the command wrote.
    pub output: String,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// In flight.
    Assigned,
    /// Its result was accepted.
    Succeeded,
    /// The command failed.
    Failed,
    /// The command ran out of time and was killed.
    TimedOut,
    /// The worker's session ended first.
    Lost,
    /// The worker refused it; it did not run.
    Declined,
    /// The instance was cancelled.
    Cancelled,
}

impl AttemptState {
    /// As in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An attempt in flight, as the worker is told. Its `created` revision is the fencing token of the attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Of which instance.
    pub instance: Name,
    /// Of which workflow.
    pub workflow: Name,
    /// What to run.
    pub task: Task,
    /// The number of the attempt.
    pub attempt: u32,
    /// For which session of the worker; another one must not run it.
    pub session: SessionId,
    /// Whether the worker has taken it.
    pub state: AssignmentState,
}

/// Whether an assignment was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssignmentState {
    /// Not yet.
    Offered,
    /// The worker runs it.
    Running,
}

/// What an attempt came to, as the worker tells the driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The number of the attempt.
    pub attempt: u32,
    /// By which worker.
    pub worker: Name,
    /// In which session.
    pub session: SessionId,
    /// The fencing token of the attempt.
    pub token: String,
    /// What it came to.
    pub outcome: Outcome,
    /// The end of what the command wrote, at most [`OUTPUT_LEN_MAX`] bytes.
    pub output: String,
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Outcome {
    /// The command exited with 0.
    Succeeded,
    /// It did not.
    Failed {
        /// Its exit code; `None`: killed by a signal, or it could not be started.
        exit_code: Option<i32>,
        /// What happened.
        reason: String,
    },
    /// It ran out of time and was killed.
    TimedOut {
        /// What happened.
        reason: String,
    },
    /// The worker refused the work; nothing ran.
    Declined {
        /// Why.
        reason: String,
    },
    /// The worker was stopped and gave the attempt up; the command was killed.
    Abandoned {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// In one word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::TimedOut { .. } => "timed_out",
            Self::Declined { .. } => "declined",
            Self::Abandoned { .. } => "abandoned",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => formatter.write_str("succeeded"),
            Self::Failed { reason, .. }
            | Self::TimedOut { reason }
            | Self::Declined { reason }
            | Self::Abandoned { reason } => formatter.write_str(reason),
        }
    }
}

/// A result that came after its attempt had been given up: not accepted, but not forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRecord {
    /// Of which instance.
    pub instance: Name,
    /// Of which task.
    pub task: Name,
    /// Of which attempt.
    pub attempt: u32,
    /// By which worker.
    pub worker: Name,
    /// What it would have been, in one word.
    pub outcome: String,
    /// When it was refused, for people.
    pub at: u64,
}
