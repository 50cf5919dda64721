//! How a task's record changes with its attempts.

use registry_api::SessionId;
use tokio::time::Instant;

use super::book::Line;
use crate::clock::wall_ms;
use crate::name::Name;
use crate::state::{ATTEMPTS_KEPT, Attempt, AttemptState, Outcome, Report, TaskState};
use crate::workflow::Task;

impl Line {
    /// With a further attempt in flight.
    pub(super) fn assigned(&self, worker: &Name, session: SessionId) -> Self {
        let mut line = self.clone();
        let record = &mut line.record;
        record.state = TaskState::Assigned;
        record.last_attempt += 1;
        record.attempts.push(Attempt {
            number: record.last_attempt,
            worker: worker.clone(),
            session,
            token: None,
            state: AttemptState::Assigned,
            assigned_at: wall_ms(),
            ended_at: None,
            exit_code: None,
            reason: None,
            output: String::new(),
        });
        if record.attempts.len() > ATTEMPTS_KEPT {
            record.attempts.remove(0);
        }
        line.due = None;
        line
    }

    /// With the attempt in flight ended by its report.
    pub(super) fn reported(&self, task: &Task, report: Report) -> Self {
        let (attempt, mut state, reason, exit_code) = match report.outcome {
            Outcome::Succeeded => (AttemptState::Succeeded, TaskState::Succeeded, None, Some(0)),
            Outcome::Failed { exit_code, reason } => (AttemptState::Failed, TaskState::Failed, Some(reason), exit_code),
            Outcome::TimedOut { reason } => (AttemptState::TimedOut, TaskState::Failed, Some(reason), None),
            Outcome::Declined { reason } => (AttemptState::Declined, TaskState::Waiting, Some(reason), None),
            Outcome::Abandoned { reason } => (AttemptState::Lost, TaskState::Waiting, Some(reason), None),
        };
        let mut line = self.clone();
        match state {
            TaskState::Succeeded => line.record.accepted += 1,
            TaskState::Failed => {
                line.record.failures += 1;
                if line.record.failures <= task.retries {
                    state = TaskState::Retrying;
                    line.due = Some(Instant::now() + task.retry_delay.0);
                }
            }
            _ => {}
        }
        line.end(state, attempt, reason);
        if let Some(last) = line.record.attempts.last_mut() {
            last.exit_code = exit_code;
            last.token = Some(report.token);
            last.output = report.output;
        }
        line
    }

    /// With the attempt in flight given up, because its worker is gone.
    pub(super) fn lost(&self) -> Self {
        let mut line = self.clone();
        line.end(TaskState::Waiting, AttemptState::Lost, Some("the worker's session ended".to_owned()));
        line
    }

    /// Not to be run.
    pub(super) fn skipped(&self) -> Self {
        let mut line = self.clone();
        line.record.state = TaskState::Skipped;
        line
    }

    /// Cancelled, with its attempt in flight if there is one.
    pub(super) fn cancelled(&self) -> Self {
        let mut line = self.clone();
        if self.in_flight().is_some() {
            line.end(TaskState::Cancelled, AttemptState::Cancelled, Some("the instance was cancelled".to_owned()));
        } else {
            line.record.state = TaskState::Cancelled;
        }
        line
    }

    fn end(&mut self, state: TaskState, attempt: AttemptState, reason: Option<String>) {
        self.record.state = state;
        if let Some(last) = self.record.attempts.last_mut() {
            last.state = attempt;
            last.reason = reason;
            last.ended_at = Some(wall_ms());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::Workflow;

    fn task(retries: u32) -> Task {
        let text = format!("name = 'w'\n[[task]]\nid = 'a'\ncommand = 'x'\nretries = {retries}");
        Workflow::parse(&text).unwrap().tasks.remove(0)
    }

    fn report(outcome: Outcome) -> Report {
        Report {
            attempt: 1,
            worker: "w".parse().unwrap(),
            session: SessionId::new(1),
            token: "1.5".into(),
            outcome,
            output: String::new(),
        }
    }

    fn assigned() -> Line {
        Line::default().assigned(&"w".parse().unwrap(), SessionId::new(1))
    }

    #[test]
    fn failures_are_retried_as_often_as_the_task_says() {
        let failed = || report(Outcome::Failed { exit_code: Some(2), reason: "exit code 2".into() });
        let once = assigned().reported(&task(1), failed());
        assert_eq!(once.record.state, TaskState::Retrying);
        assert!(once.due.is_some());
        let twice = once.assigned(&"w".parse().unwrap(), SessionId::new(1)).reported(&task(1), failed());
        assert_eq!(twice.record.state, TaskState::Failed);
        assert_eq!((twice.record.failures, twice.record.last_attempt, twice.record.accepted), (2, 2, 0));
    }

    #[test]
    fn lost_and_declined_attempts_do_not_count_as_failures() {
        let declined = assigned().reported(&task(0), report(Outcome::Declined { reason: "full".into() }));
        let lost = declined.assigned(&"w".parse().unwrap(), SessionId::new(1)).lost();
        assert_eq!((lost.record.state, lost.record.failures, lost.record.last_attempt), (TaskState::Waiting, 0, 2));
    }

    #[test]
    fn a_record_keeps_the_newest_attempts() {
        let mut line = Line::default();
        for _ in 0..ATTEMPTS_KEPT + 3 {
            line = line.assigned(&"w".parse().unwrap(), SessionId::new(1)).lost();
        }
        assert_eq!(line.record.attempts.len(), ATTEMPTS_KEPT);
        assert_eq!(line.record.attempts.last().unwrap().number, line.record.last_attempt);
    }
}
