//! Reports: what an attempt came to, delivered once or refused.

use std::time::Duration;

use registry_api::{Check, Effect, Entry, ErrorKind, Key, RegistryClient, Result, Revision, SessionId, Transaction};
use tokio::time::Instant;

use crate::clock::wall_ms;
use crate::cluster::Connected;
use crate::name::Name;
use crate::state::{
    Assignment, AssignmentState, AttemptState, RefusedRecord, Report, Role, TaskRecord, decode, encode, keys,
};

/// Between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long a result is worth delivering, and a refusal worth keeping, after the session has ended.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Carries what the worker has to say about its attempts to the registry.
#[derive(Debug)]
pub(super) struct Courier {
    client: RegistryClient,
    worker: Name,
    presence: Key,
}

/// An assignment, as the worker knows it.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) key: Key,
    pub(super) assignment: Assignment,
    /// The revision at which the assignment was made: the fencing token of the attempt.
    pub(super) token: Revision,
    /// The revision that the assignment has now.
    pub(super) revision: Revision,
}

impl Offer {
    /// Reads an assignment; `None` where the value is none.
    pub(super) fn read(entry: &Entry) -> Option<Self> {
        let assignment = decode(entry).ok()?;
        Some(Self { key: entry.key.clone(), assignment, token: entry.created, revision: entry.modified })
    }
}

impl Courier {
    pub(super) fn new(connected: &Connected) -> Self {
        Self {
            client: connected.client.clone(),
            worker: connected.name.clone(),
            presence: keys::presence(Role::Worker, &connected.name),
        }
    }

    /// Marks an offer as running; `None` when it is not on offer any more. Returns it with its new revision.
    pub(super) async fn accept(&self, offer: &Offer) -> Option<Offer> {
        let assignment = Assignment { state: AssignmentState::Running, ..offer.assignment.clone() };
        let deadline = Instant::now() + DELIVERY_TIMEOUT;
        while Instant::now() < deadline {
            match self.try_accept(offer, &assignment).await {
                Ok(revision) => return Some(Offer { assignment, revision, ..offer.clone() }),
                Err(error) if error.effect() == Effect::NotApplied && is_final(&error) => return None,
                Err(error) => tracing::debug!(%error, "an assignment cannot be accepted, looking again"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
            // The commit may have been applied although its answer was lost.
            match self.client.get(&offer.key).await {
                Ok(None) => return None,
                Ok(Some(entry)) if entry.created != offer.token => return None,
                Ok(Some(entry)) if entry.modified != offer.revision => {
                    return Some(Offer { assignment, revision: entry.modified, ..offer.clone() });
                }
                Ok(Some(_)) | Err(_) => {}
            }
        }
        None
    }

    async fn try_accept(&self, offer: &Offer, assignment: &Assignment) -> Result<Revision> {
        let transaction = Transaction::builder()
            .check(Check::OwnedBy(self.presence.clone(), assignment.session))
            .at(offer.key.clone(), offer.revision)
            .put(offer.key.clone(), encode(assignment));
        self.commit(transaction).await
    }

    /// Delivers a report: in one transaction with the end of the assignment, if the worker is still there in the session
    /// that it was assigned in, and the attempt is still its own. Otherwise the result is kept as refused. Gives up after
    /// a minute.
    ///
    /// # Cancellation
    ///
    /// The report may be delivered or not.
    pub(super) async fn deliver(&self, offer: &Offer, report: &Report) {
        let deadline = Instant::now() + DELIVERY_TIMEOUT;
        while Instant::now() < deadline {
            match self.try_deliver(offer, report).await {
                Ok(_) => return,
                // Only the first answer can tell for sure: an earlier try whose answer was lost may have been applied.
                Err(error) if is_final(&error) => match self.was_delivered(offer, report).await {
                    Ok(true) => return,
                    Ok(false) => return self.keep_refused(offer, report, deadline).await,
                    Err(error) => tracing::debug!(%error, "it cannot be told whether a report was delivered"),
                },
                Err(error) => tracing::debug!(%error, "a report cannot be delivered, trying again"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn try_deliver(&self, offer: &Offer, report: &Report) -> Result<Revision> {
        let Assignment { instance, task, session, .. } = &offer.assignment;
        let transaction = Transaction::builder()
            .check(Check::OwnedBy(self.presence.clone(), *session))
            .at(offer.key.clone(), offer.revision)
            .delete(offer.key.clone())
            .put(keys::report(instance, &task.id), encode(report));
        self.commit(transaction).await
    }

    /// Whether an earlier try was applied: the report is in the inbox, or the driver has taken it in.
    async fn was_delivered(&self, offer: &Offer, report: &Report) -> Result<bool> {
        let Assignment { instance, task, .. } = &offer.assignment;
        if let Some(entry) = self.client.get(&keys::report(instance, &task.id)).await?
            && decode::<Report>(&entry).is_ok_and(|found| found.token == report.token)
        {
            return Ok(true);
        }
        let Some(entry) = self.client.get(&keys::task(instance, &task.id)).await? else { return Ok(false) };
        let record: TaskRecord = decode(&entry).unwrap_or_default();
        let taken = record.attempts.iter().any(|attempt| {
            attempt.number == report.attempt
                && attempt.token.as_ref() == Some(&report.token)
                && attempt.state != AttemptState::Assigned
        });
        Ok(taken)
    }

    async fn keep_refused(&self, offer: &Offer, report: &Report, deadline: Instant) {
        let Assignment { instance, task, attempt, .. } = &offer.assignment;
        let record = RefusedRecord {
            instance: instance.clone(),
            task: task.id.clone(),
            attempt: *attempt,
            worker: self.worker.clone(),
            outcome: report.outcome.as_str().to_owned(),
            at: wall_ms(),
        };
        tracing::warn!(event = "result_refused", %instance, task = %task.id, attempt, "the attempt had been given up");
        let key = keys::refused_result(instance, &task.id, *attempt);
        while Instant::now() < deadline {
            match self.client.put(&key, encode(&record)).await {
                Ok(_) => break,
                Err(error) => tracing::debug!(%error, "a refusal cannot be kept, trying again"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn commit(&self, builder: registry_api::TransactionBuilder) -> Result<Revision> {
        use registry_api::{Error, Operation};
        let transaction = builder.build().map_err(|error| {
            let backend = self.client.backend();
            Error::new(ErrorKind::InvalidArgument, Effect::NotApplied, Operation::Commit, backend, error.to_string())
        })?;
        Ok(self.client.commit(transaction).await?.revision)
    }

    /// The worker's name.
    pub(super) fn worker(&self) -> &Name {
        &self.worker
    }
}

/// Whether trying again cannot help: the state of the registry is against it.
fn is_final(error: &registry_api::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PreconditionFailed
            | ErrorKind::SessionEnded
            | ErrorKind::OwnedByAnother { .. }
            | ErrorKind::InvalidArgument
            | ErrorKind::PermissionDenied
            | ErrorKind::Closed
    )
}

/// The report of an attempt.
pub(super) fn report_of(
    offer: &Offer,
    worker: &Name,
    session: SessionId,
    outcome: crate::state::Outcome,
    output: String,
) -> Report {
    let token = offer.token.to_string();
    Report { attempt: offer.assignment.attempt, worker: worker.clone(), session, token, outcome, output }
}
