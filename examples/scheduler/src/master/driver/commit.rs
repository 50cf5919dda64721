//! The commits of a driver: each checks the lock, the record that was read, and what the step relies on.

use registry_api::{Check, Precondition, PutOptions, Revision, Scope, Transaction, TransactionBuilder};

use super::book::{Line, Step};
use super::{Driver, Trouble};
use crate::clock::wall_ms;
use crate::master::placement::Reservation;
use crate::master::retention;
use crate::name::Name;
use crate::state::{Assignment, AssignmentState, InstanceState, Role, encode, keys};

impl Driver<'_> {
    /// Writes that this master drives the instance from now on.
    pub(super) async fn enter_as_driver(&mut self) -> Result<(), Trouble> {
        let token = self.guard.token().to_string();
        if self.record.token.as_ref() == Some(&token) {
            return Ok(());
        }
        let before = self.record.driver.replace(self.desk.name.clone());
        let another = before.clone().filter(|before| *before != self.desk.name);
        self.record.token = Some(token.clone());
        self.record.state = InstanceState::Running;
        self.record.takeovers += u32::from(another.is_some());
        self.write_instance().await?;
        let (instance, workflow) = (self.instance, &self.record.workflow);
        match (before, another) {
            (_, Some(from)) => {
                tracing::info!(event = "instance_taken_over", %instance, %from, token, "taken over");
            }
            (None, None) => tracing::info!(event = "instance_started", %instance, %workflow, token, "started"),
            (Some(_), None) => tracing::debug!(%instance, token, "driven again"),
        }
        Ok(())
    }

    /// Writes the end of the instance, and forgets what no longer matters.
    pub(super) async fn end(&mut self, state: InstanceState) -> Result<(), Trouble> {
        self.record.state = state;
        self.record.ended_at = Some(wall_ms());
        self.write_instance().await?;
        tracing::info!(event = "instance_ended", instance = %self.instance, %state, "ended");
        self.guard.delete_scope(&Scope::Tree(keys::inbox(self.instance))).await?;
        retention::forget_old(self.desk.session.client(), &self.desk.view, self.desk.instances_kept).await?;
        Ok(())
    }

    async fn write_instance(&mut self) -> Result<(), Trouble> {
        let options = PutOptions::default().when(Precondition::At(self.revision));
        let key = keys::instance(self.instance);
        self.revision = self.guard.put_with(&key, encode(&self.record), options).await?;
        Ok(())
    }

    /// Does one step that needs no worker.
    pub(super) async fn perform(&mut self, step: Step) -> Result<(), Trouble> {
        match step {
            Step::Skip { task, because } => {
                let line = self.current(&task).skipped();
                self.write(&task, line, Transaction::builder()).await?;
                tracing::info!(event = "task_skipped", instance = %self.instance, %task, %because, "skipped");
            }
            Step::Cancel(task) => self.cancel(&task).await?,
            Step::Lose(task) => self.lose(&task).await?,
            Step::End(_) => {}
        }
        Ok(())
    }

    /// Assigns a further attempt, if the worker is still there at that moment.
    pub(super) async fn assign(&mut self, task: &Name, place: Reservation<'_>) -> Result<(), Trouble> {
        let Some(definition) = self.book.workflow.task(task).cloned() else { return Ok(()) };
        let line = self.current(task).assigned(&place.worker, place.session);
        let attempt = line.record.last_attempt;
        let assignment = Assignment {
            instance: self.instance.clone(),
            workflow: self.record.workflow.clone(),
            task: definition,
            attempt,
            session: place.session,
            state: AssignmentState::Offered,
        };
        let key = keys::assignment(&place.worker, self.instance, task);
        let builder = Transaction::builder()
            .check(Check::OwnedBy(keys::presence(Role::Worker, &place.worker), place.session))
            .absent(key.clone())
            .put(key, encode(&assignment));
        let revision = self.write(task, line, builder).await?;
        let (instance, worker) = (self.instance, &place.worker);
        tracing::info!(event = "task_assigned", %instance, %task, attempt, %worker, token = %revision, "assigned");
        place.committed(revision);
        Ok(())
    }

    /// Gives the attempt in flight up, if its worker is really gone at that moment. A report that the worker left before
    /// it went wins.
    async fn lose(&mut self, task: &Name) -> Result<(), Trouble> {
        let line = self.current(task);
        let Some(attempt) = line.in_flight().cloned() else { return Ok(()) };
        let presence = keys::presence(Role::Worker, &attempt.worker);
        let gone = match self.desk.view.worker_session(&attempt.worker) {
            Some(another) if another != attempt.session => Check::OwnedBy(presence, another),
            Some(_back) => return Ok(()),
            None => Check::Absent(presence),
        };
        let builder = Transaction::builder().check(gone);
        let Some(builder) = self.withdraw_assignment(task, &attempt.worker, builder).await? else { return Ok(()) };
        self.write(task, line.lost(), builder).await?;
        let (instance, worker, attempt) = (self.instance, &attempt.worker, attempt.number);
        tracing::info!(event = "task_lost", %instance, %task, attempt, %worker, "lost: the worker's session ended");
        Ok(())
    }

    async fn cancel(&mut self, task: &Name) -> Result<(), Trouble> {
        let line = self.current(task);
        let builder = match line.in_flight() {
            Some(attempt) => {
                let worker = attempt.worker.clone();
                self.withdraw_assignment(task, &worker, Transaction::builder()).await?
            }
            None => Some(Transaction::builder()),
        };
        if let Some(builder) = builder {
            self.write(task, line.cancelled(), builder).await?;
        }
        Ok(())
    }

    /// Adds the withdrawal of the assignment in flight. Where the worker has reported instead, the report is taken in,
    /// and nothing is left to withdraw: `None`.
    async fn withdraw_assignment(
        &mut self,
        task: &Name,
        worker: &Name,
        builder: TransactionBuilder,
    ) -> Result<Option<TransactionBuilder>, Trouble> {
        let client = self.desk.session.client();
        let assignment = keys::assignment(worker, self.instance, task);
        if let Some(entry) = client.get(&assignment).await? {
            return Ok(Some(builder.at(assignment.clone(), entry.modified).delete(assignment)));
        }
        let report = keys::report(self.instance, task);
        match client.get(&report).await? {
            Some(entry) => {
                self.take_report(&entry).await?;
                Ok(None)
            }
            // Somebody else's hand was in it: the attempt is given up, provided that it stays so.
            None => Ok(Some(builder.absent(assignment).absent(report))),
        }
    }

    /// A task as it stands.
    pub(super) fn current(&self, task: &Name) -> Line {
        self.book.line(task).cloned().unwrap_or_default()
    }

    /// Commits a task's new record together with `builder`, and notes it.
    pub(super) async fn write(
        &mut self,
        task: &Name,
        line: Line,
        builder: TransactionBuilder,
    ) -> Result<Revision, Trouble> {
        let key = keys::task(self.instance, task);
        let builder = match line.revision {
            Some(revision) => builder.at(key.clone(), revision),
            None => builder.absent(key.clone()),
        };
        let transaction = builder.put(key, encode(&line.record)).build()?;
        let revision = self.guard.commit(transaction).await?.revision;
        self.book.note(task, Line { revision: Some(revision), ..line });
        Ok(revision)
    }
}
