//! The inbox of an instance: reports of workers, and the wish to cancel.

use registry_api::{Entry, Event, Transaction};
use tokio::time::Instant;

use super::{DECLINE_PAUSE, Driver, Trouble};
use crate::clock::wall_ms;
use crate::name::Name;
use crate::state::{Outcome, RefusedRecord, Report, TaskState, decode, encode, keys};

impl Driver<'_> {
    /// Takes in what the inbox tells.
    pub(super) async fn receive(&mut self, event: Event) -> Result<(), Trouble> {
        match event {
            Event::Snapshot { listing, .. } => {
                for entry in listing.entries() {
                    self.receive_entry(entry).await?;
                }
            }
            Event::Put { entry, .. } => self.receive_entry(&entry).await?,
            _ => {}
        }
        Ok(())
    }

    async fn receive_entry(&mut self, entry: &Entry) -> Result<(), Trouble> {
        if entry.key == keys::cancel(self.instance) {
            self.book.cancelled = true;
            return Ok(());
        }
        self.take_report(entry).await
    }

    /// Accepts a report of the attempt in flight, once; refuses any other.
    pub(super) async fn take_report(&mut self, entry: &Entry) -> Result<(), Trouble> {
        let Ok(task) = entry.key.name().parse::<Name>() else { return Ok(()) };
        let report: Report = decode(entry)?;
        let line = self.current(&task);
        let Some(definition) = self.book.workflow.task(&task).cloned() else { return Ok(()) };
        let expected = line.in_flight().is_some_and(|attempt| {
            attempt.number == report.attempt && attempt.session == report.session && attempt.worker == report.worker
        });
        if !expected {
            return self.refuse(entry, &task, report).await;
        }
        let builder = Transaction::builder().at(entry.key.clone(), entry.modified).delete(entry.key.clone());
        self.write(&task, line.reported(&definition, report.clone()), builder).await?;
        self.tell(&task, &report);
        if matches!(report.outcome, Outcome::Declined { .. }) {
            self.avoided.insert(report.worker, Instant::now() + DECLINE_PAUSE);
        }
        Ok(())
    }

    /// Keeps a result that came too late, apart from those that count. The event may also be an old one: the report that
    /// it tells of was taken in already, by way of another read.
    async fn refuse(&mut self, entry: &Entry, task: &Name, report: Report) -> Result<(), Trouble> {
        let client = self.desk.session.client();
        if client.get(&entry.key).await?.is_none_or(|now| now.modified != entry.modified) {
            return Ok(());
        }
        let refused = RefusedRecord {
            instance: self.instance.clone(),
            task: task.clone(),
            attempt: report.attempt,
            worker: report.worker,
            outcome: report.outcome.as_str().to_owned(),
            at: wall_ms(),
        };
        let key = keys::refused_result(self.instance, task, report.attempt);
        let transaction = Transaction::builder()
            .at(entry.key.clone(), entry.modified)
            .delete(entry.key.clone())
            .put(key, encode(&refused))
            .build()?;
        self.guard.commit(transaction).await?;
        let (instance, attempt) = (self.instance, refused.attempt);
        tracing::warn!(event = "result_refused", %instance, %task, attempt, "a result that came too late is refused");
        Ok(())
    }

    fn tell(&self, task: &Name, report: &Report) {
        let (instance, attempt, worker, outcome) = (self.instance, report.attempt, &report.worker, &report.outcome);
        match outcome {
            Outcome::Succeeded => {
                tracing::info!(event = "task_accepted", %instance, %task, attempt, %worker, "accepted");
            }
            Outcome::Failed { reason, .. } | Outcome::TimedOut { reason } => {
                let retry = self.current(task).record.state == TaskState::Retrying;
                tracing::info!(event = "task_failed", %instance, %task, attempt, %worker, reason, retry, "failed");
            }
            Outcome::Declined { reason } => {
                tracing::info!(event = "task_declined", %instance, %task, attempt, %worker, reason, "declined");
            }
            Outcome::Abandoned { reason } => {
                tracing::info!(event = "task_lost", %instance, %task, attempt, %worker, reason, "given up by its worker");
            }
        }
    }
}
