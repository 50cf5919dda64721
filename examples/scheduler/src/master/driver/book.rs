//! What the driver of an instance knows: its tasks as they stand in the registry, and what follows from that.

use std::collections::BTreeMap;

use registry_api::{Revision, SessionId};
use tokio::time::Instant;

use crate::name::Name;
use crate::state::{Attempt, InstanceState, TaskRecord, TaskState};
use crate::workflow::{Task, Workflow};

/// The tasks of an instance. Only the driver writes them, so what it wrote last is what they are.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) workflow: Workflow,
    lines: BTreeMap<Name, Line>,
    pub(super) cancelled: bool,
}

/// One task as it stands in the registry.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) record: TaskRecord,
    /// The revision of the record; `None`: it was never written.
    pub(super) revision: Option<Revision>,
    /// When a retry is due. Not in the registry: clocks differ, so a new driver lets the delay begin again.
    pub(super) due: Option<Instant>,
}

/// What has to be done, whatever workers there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The worker of the attempt in flight is gone.
    Lose(Name),
    /// A task cannot run, because of one that did not succeed.
    Skip { task: Name, because: Name },
    /// The instance was cancelled, and this task with it.
    Cancel(Name),
    /// Nothing is left to do.
    End(InstanceState),
}

impl Line {
    /// The attempt in flight.
    pub(super) fn in_flight(&self) -> Option<&Attempt> {
        self.record.attempts.last().filter(|_| self.record.state == TaskState::Assigned)
    }
}

impl Book {
    /// The tasks of `workflow`; those without a line in `lines` were never written.
    pub(super) fn new(workflow: Workflow, mut lines: BTreeMap<Name, Line>) -> Self {
        for task in &workflow.tasks {
            lines.entry(task.id.clone()).or_default();
        }
        Self { workflow, lines, cancelled: false }
    }

    pub(super) fn line(&self, task: &Name) -> Option<&Line> {
        self.lines.get(task)
    }

    /// Notes what was written.
    pub(super) fn note(&mut self, task: &Name, line: Line) {
        self.lines.insert(task.clone(), line);
    }

    /// The next step that needs no worker. `session_of` says in which session a worker is there now.
    pub(super) fn next_step(&self, session_of: impl Fn(&Name) -> Option<SessionId>) -> Option<Step> {
        let orphan = |task: &&Task| {
            let attempt = self.lines.get(&task.id).and_then(Line::in_flight);
            attempt.is_some_and(|attempt| session_of(&attempt.worker) != Some(attempt.session))
        };
        if let Some(task) = self.workflow.tasks.iter().find(orphan) {
            return Some(Step::Lose(task.id.clone()));
        }
        if self.cancelled
            && let Some(task) = self.workflow.tasks.iter().find(|task| !self.state(&task.id).is_final())
        {
            return Some(Step::Cancel(task.id.clone()));
        }
        self.next_skip().or_else(|| self.end())
    }

    /// The tasks that an attempt can be made at now, in the order of the file.
    pub(super) fn ready(&self, now: Instant) -> Vec<&Task> {
        let is_ready = |task: &&Task| {
            let Some(line) = self.lines.get(&task.id) else { return false };
            match line.record.state {
                TaskState::Waiting => task.depends_on.iter().all(|name| self.state(name) == TaskState::Succeeded),
                TaskState::Retrying => line.due.is_none_or(|due| due <= now),
                _ => false,
            }
        };
        if self.cancelled { Vec::new() } else { self.workflow.tasks.iter().filter(is_ready).collect() }
    }

    /// When the next retry is due.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let retrying = self.lines.values().filter(|line| line.record.state == TaskState::Retrying);
        retrying.filter_map(|line| line.due).filter(|due| *due > now).min()
    }

    fn next_skip(&self) -> Option<Step> {
        self.workflow.tasks.iter().filter(|task| self.state(&task.id) == TaskState::Waiting).find_map(|task| {
            let because = task.depends_on.iter().find(|name| {
                let state = self.state(name);
                state.is_final() && state != TaskState::Succeeded
            })?;
            Some(Step::Skip { task: task.id.clone(), because: because.clone() })
        })
    }

    fn end(&self) -> Option<Step> {
        let mut states = self.lines.values().map(|line| line.record.state);
        if !states.clone().all(TaskState::is_final) {
            return None;
        }
        Some(Step::End(if states.clone().all(|state| state == TaskState::Succeeded) {
            InstanceState::Succeeded
        } else if states.any(|state| state == TaskState::Cancelled) {
            InstanceState::Cancelled
        } else {
            InstanceState::Failed
        }))
    }

    fn state(&self, task: &Name) -> TaskState {
        self.lines.get(task).map(|line| line.record.state).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::AttemptState;

    const DIAMOND: &str = "name = 'w'\n[[task]]\nid = 'a'\ncommand = 'x'\n\
        [[task]]\nid = 'b'\ncommand = 'x'\ndepends_on = ['a']\n\
        [[task]]\nid = 'c'\ncommand = 'x'\ndepends_on = ['a']\n\
        [[task]]\nid = 'd'\ncommand = 'x'\ndepends_on = ['b', 'c']\n";

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn book(states: &[(&str, TaskState)]) -> Book {
        let lines = states.iter().map(|(task, state)| {
            let record = TaskRecord { state: *state, ..TaskRecord::default() };
            (name(task), Line { record, ..Line::default() })
        });
        Book::new(Workflow::parse(DIAMOND).unwrap(), lines.collect())
    }

    fn ready(book: &Book) -> Vec<&str> {
        book.ready(Instant::now()).iter().map(|task| task.id.as_str()).collect()
    }

    fn step(book: &Book) -> Option<Step> {
        book.next_step(|_| None)
    }

    #[test]
    fn a_task_is_ready_when_all_its_dependencies_succeeded() {
        use TaskState::{Assigned, Retrying, Succeeded};
        assert_eq!(ready(&book(&[])), ["a"]);
        assert_eq!(ready(&book(&[("a", Assigned)])), [""; 0]);
        assert_eq!(ready(&book(&[("a", Succeeded)])), ["b", "c"]);
        assert_eq!(ready(&book(&[("a", Succeeded), ("b", Succeeded), ("c", Retrying)])), ["c"]);
        assert_eq!(ready(&book(&[("a", Succeeded), ("b", Succeeded), ("c", Succeeded)])), ["d"]);
    }

    #[test]
    fn a_retry_is_ready_when_it_is_due() {
        let mut book = book(&[("a", TaskState::Retrying)]);
        let now = Instant::now();
        let due = now + std::time::Duration::from_secs(5);
        let line = Line { due: Some(due), ..book.line(&name("a")).unwrap().clone() };
        book.note(&name("a"), line);
        assert_eq!(book.ready(now).len(), 0);
        assert_eq!(book.next_due(now), Some(due));
        assert_eq!(book.ready(due).len(), 1);
    }

    #[test]
    fn a_failure_skips_everything_that_depends_on_it_and_nothing_else() {
        use TaskState::{Failed, Skipped, Succeeded, Waiting};
        let skip = |task, because| Some(Step::Skip { task: name(task), because: name(because) });
        assert_eq!(step(&book(&[("a", Failed)])), skip("b", "a"));
        assert_eq!(step(&book(&[("a", Succeeded), ("b", Failed), ("c", Waiting)])), skip("d", "b"));
        let all = [("a", Succeeded), ("b", Failed), ("c", Succeeded), ("d", Skipped)];
        assert_eq!(step(&book(&all)), Some(Step::End(InstanceState::Failed)));
    }

    #[test]
    fn an_instance_succeeds_when_every_task_did() {
        use TaskState::Succeeded;
        let all = [("a", Succeeded), ("b", Succeeded), ("c", Succeeded), ("d", Succeeded)];
        assert_eq!(step(&book(&all)), Some(Step::End(InstanceState::Succeeded)));
        assert_eq!(step(&book(&all[..3])), None);
    }

    #[test]
    fn cancelling_ends_what_has_not_ended() {
        use TaskState::{Cancelled, Succeeded};
        let mut book = book(&[("a", Succeeded), ("b", Cancelled), ("c", Cancelled)]);
        book.cancelled = true;
        assert_eq!(ready(&book), [""; 0]);
        assert_eq!(step(&book), Some(Step::Cancel(name("d"))));
    }

    #[test]
    fn an_attempt_is_lost_with_the_session_of_its_worker() {
        let line = Line::default().assigned(&name("w"), SessionId::new(7));
        let mut book = book(&[]);
        book.note(&name("a"), line);
        assert_eq!(book.line(&name("a")).unwrap().record.attempts[0].state, AttemptState::Assigned);
        assert_eq!(book.next_step(|_| Some(SessionId::new(7))), None);
        assert_eq!(book.next_step(|_| Some(SessionId::new(8))), Some(Step::Lose(name("a"))));
        assert_eq!(book.next_step(|_| None), Some(Step::Lose(name("a"))));
    }
}
