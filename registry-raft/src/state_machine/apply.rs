//! Applying commands: who may, once each, and what revision it gives.

mod keys;
mod locks;
mod sessions;
mod transaction;

use registry_api::Revision;

use super::client::Admission;
use super::refusal::Stop;
use super::{Applied, Change, StateMachine, UnknownCommand};
use crate::proto::command::Command;
use crate::proto::{Batch, Outcome, Proposal, outcome};

/// What a command did that was not refused.
#[derive(Debug)]
pub(super) struct Done {
    outcome: outcome::Outcome,
    /// Whether the state changed, which is what takes a revision.
    changed: bool,
}

impl Done {
    pub(super) fn changed(outcome: outcome::Outcome) -> Self {
        Self { outcome, changed: true }
    }

    pub(super) fn unchanged(outcome: outcome::Outcome) -> Self {
        Self { outcome, changed: false }
    }
}

/// The changes that one command makes, and the revision that they get.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) revision: Revision,
    changes: &'a mut Vec<Change>,
}

impl Step<'_> {
    pub(super) fn push(&mut self, change: Change) {
        self.changes.push(change);
    }
}

impl StateMachine {
    /// Whether applying this takes a moment only: nothing of it changes more than the few keys that it names.
    pub(crate) fn is_brief(batch: &Batch) -> bool {
        use crate::proto::scope::Scope::Key;
        batch.proposals.iter().all(|proposal| {
            match proposal.command.as_ref().and_then(|command| command.command.as_ref()) {
                Some(Command::EndSession(_)) => false,
                Some(Command::Delete(delete)) => {
                    matches!(delete.target.as_ref().and_then(|target| target.scope.as_ref()), Some(Key(_)))
                }
                _ => true,
            }
        })
    }

    /// Applies one log entry.
    ///
    /// # Errors
    ///
    /// [`UnknownCommand`] is fatal: the state is undefined afterwards, and the member must stop.
    pub(crate) fn apply(&mut self, batch: &Batch) -> Result<Applied, UnknownCommand> {
        let mut applied = Applied::default();
        for proposal in &batch.proposals {
            let outcome = self.apply_once(proposal, &mut applied.changes)?;
            applied.outcomes.push(outcome);
        }
        Ok(applied)
    }

    fn apply_once(&mut self, proposal: &Proposal, changes: &mut Vec<Change>) -> Result<Outcome, UnknownCommand> {
        let command = proposal.command.as_ref().and_then(|command| command.command.as_ref());
        let command = command.ok_or(UnknownCommand { what: "a command" })?;
        if proposal.client == 0 {
            return self.apply_command(command, changes);
        }
        match self.clients.admit(proposal, self.limits) {
            Admission::New => {}
            Admission::Applied(outcome) => return Ok(outcome),
            Admission::Refused(refusal) => return Ok(self.outcome(outcome::Outcome::Refused(refusal))),
        }
        let outcome = self.apply_command(command, changes)?;
        let ended = self.clients.remember(proposal.client, proposal.sequence, &outcome, self.limits);
        changes.extend(ended.into_iter().map(|id| Change::ClientEnded { id }));
        Ok(outcome)
    }

    fn apply_command(&mut self, command: &Command, changes: &mut Vec<Change>) -> Result<Outcome, UnknownCommand> {
        let before = changes.len();
        let revision = Revision::new(self.revision.incarnation, self.revision.counter + 1);
        let mut step = Step { revision, changes };
        match self.run(command, &mut step) {
            Ok(done) => {
                if done.changed {
                    self.revision = revision;
                    self.history.record(revision, changes.get(before..).unwrap_or_default(), self.limits);
                }
                Ok(self.outcome(done.outcome))
            }
            Err(Stop::Refused(refusal)) => {
                changes.truncate(before);
                Ok(self.outcome(outcome::Outcome::Refused(refusal)))
            }
            Err(Stop::Unknown(unknown)) => Err(unknown),
        }
    }

    fn run(&mut self, command: &Command, step: &mut Step<'_>) -> Result<Done, Stop> {
        match command {
            Command::RegisterClient(register) => self.register_client(register, step),
            Command::EndClient(end) => Ok(self.end_client(end.client, step)),
            Command::OpenSession(open) => self.open_session(open, step),
            Command::EndSession(end) => Ok(self.end_session(end, step)),
            Command::Put(put) => self.put(put, step),
            Command::Delete(delete) => self.delete(delete, step),
            Command::Commit(commit) => self.commit(commit, step),
            Command::Acquire(acquire) => self.acquire(acquire, step),
            Command::Abandon(abandon) => self.abandon(abandon, step),
            Command::Release(release) => self.release(release, step),
        }
    }

    fn outcome(&self, outcome: outcome::Outcome) -> Outcome {
        Outcome { revision: Some(self.revision.into()), outcome: Some(outcome) }
    }
}
