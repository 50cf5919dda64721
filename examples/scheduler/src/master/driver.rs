//! The driver of one instance: holds its lock, and moves its tasks forward by guarded commits until it has ended.
//!
//! The lock says who may drive. It does not have to be perfect: every change is a transaction that checks, at the moment
//! of the change, that the lock is still held under this grant and that the record is the one that was read. A driver that
//! was frozen, cut off or replaced can therefore change nothing any more.
//!
//! When the outcome of a commit is not known, or a check failed, the driver forgets what it knows and reads the instance
//! again: what is in the registry is the truth.

mod attempt;
mod book;
mod commit;
mod inbox;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use registry_api::{LockGuard, LockWait, Revision, Scope, Session, Subscription};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::book::{Book, Line, Step};
use super::placement::{Offer, Placement};
use super::view::{View, name_of};
use crate::name::Name;
use crate::state::{InstanceRecord, TaskRecord, decode, keys};
use crate::workflow::Workflow;

/// Before an instance is read again after something failed.
const RELOAD_PAUSE: Duration = Duration::from_millis(100);
/// How long a worker that declined is not asked again for the same instance.
const DECLINE_PAUSE: Duration = Duration::from_millis(500);

/// What all drivers of a master share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) name: Name,
    pub(crate) session: Session,
    pub(crate) view: Arc<View>,
    pub(crate) placement: Placement,
    pub(crate) instances_kept: usize,
}

/// Why driving stopped.
#[derive(Debug)]
enum Halt {
    /// The instance has ended.
    Ended,
    /// It belongs to another master now, or this one is being stopped.
    Released,
    /// It has to be read again.
    Again(String),
}

/// What ends a pass over the instance other than its end.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Registry(#[from] registry_api::Error),
    #[error(transparent)]
    Record(#[from] crate::state::DecodeError),
    #[error(transparent)]
    Transaction(#[from] registry_api::TransactionError),
    #[error("{0} is missing")]
    Missing(registry_api::Key),
    #[error("the subscription to the inbox ended")]
    InboxEnded,
}

/// Drives an instance until it has ended, `stop` is cancelled, or the lock is lost.
pub(crate) async fn drive(desk: Arc<Desk>, instance: Name, stop: CancellationToken) {
    let lock = keys::driver_lock(&instance);
    let guard = tokio::select! {
        biased;
        () = stop.cancelled() => return,
        guard = desk.session.lock(&lock, LockWait::Forever) => guard,
    };
    let guard = match guard {
        Ok(guard) => guard,
        Err(error) => {
            tracing::debug!(%instance, %error, "the instance cannot be locked");
            return tokio::time::sleep(RELOAD_PAUSE).await;
        }
    };
    while guard.check().is_ok() {
        match pass(&desk, &guard, &instance, &stop).await {
            Halt::Ended => break,
            Halt::Released => {
                tracing::info!(event = "instance_released", %instance, "released");
                break;
            }
            Halt::Again(why) => tracing::debug!(%instance, why, "reading the instance again"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = guard.lost() => break,
            () = tokio::time::sleep(RELOAD_PAUSE) => {}
        }
    }
    if let Err(error) = guard.release().await {
        tracing::debug!(%instance, %error, "the lock of the instance was not released");
    }
}

async fn pass(desk: &Desk, guard: &LockGuard, instance: &Name, stop: &CancellationToken) -> Halt {
    let driving = async {
        let Some(mut driver) = Driver::load(desk, guard, instance).await? else { return Ok(Halt::Ended) };
        driver.run(stop).await
    };
    let result: Result<Halt, Trouble> = tokio::select! {
        biased;
        () = guard.lost() => return Halt::Again("the lock was lost".to_owned()),
        result = driving => result,
    };
    result.unwrap_or_else(|trouble| Halt::Again(trouble.to_string()))
}

/// One pass over an instance, from reading it to its end or to the first surprise.
#[derive(Debug)]
struct Driver<'a> {
    desk: &'a Desk,
    guard: &'a LockGuard,
    instance: &'a Name,
    record: InstanceRecord,
    revision: Revision,
    book: Book,
    inbox: Subscription,
    /// Workers that declined, and until when they are not asked again.
    avoided: BTreeMap<Name, Instant>,
    /// When places that are left to other masters now are anybody's.
    turn: Option<Instant>,
}

impl<'a> Driver<'a> {
    /// Reads the instance and enters this master as its driver; `None` when it has ended.
    async fn load(desk: &'a Desk, guard: &'a LockGuard, instance: &'a Name) -> Result<Option<Self>, Trouble> {
        let client = desk.session.client();
        let key = keys::instance(instance);
        let entry = client.get(&key).await?.ok_or(Trouble::Missing(key))?;
        let record: InstanceRecord = decode(&entry)?;
        if record.state.is_final() {
            guard.delete_scope(&Scope::Tree(keys::inbox(instance))).await?;
            return Ok(None);
        }
        let key = keys::plan(instance);
        let workflow: Workflow = decode(&client.get(&key).await?.ok_or(Trouble::Missing(key))?)?;
        let mut book = Book::new(workflow, read_lines(desk, instance).await?);
        book.cancelled = client.get(&keys::cancel(instance)).await?.is_some();
        let inbox = client.subscribe(&Scope::Tree(keys::inbox(instance))).await?;
        let revision = entry.modified;
        let mut driver =
            Self { desk, guard, instance, record, revision, book, inbox, avoided: BTreeMap::new(), turn: None };
        driver.enter_as_driver().await?;
        Ok(Some(driver))
    }

    async fn run(&mut self, stop: &CancellationToken) -> Result<Halt, Trouble> {
        let mut changed = self.desk.view.changed();
        loop {
            changed.mark_unchanged();
            let view = &self.desk.view;
            while let Some(step) = self.book.next_step(|worker| view.worker_session(worker)) {
                if let Step::End(state) = step {
                    self.end(state).await?;
                    return Ok(Halt::Ended);
                }
                self.perform(step).await?;
            }
            self.assign_ready().await?;
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Halt::Released),
                event = self.inbox.next() => {
                    let event = event.ok_or(Trouble::InboxEnded)??;
                    self.receive(event).await?;
                }
                _ = changed.changed() => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Assigns every task that is ready, as far as there are workers with room.
    async fn assign_ready(&mut self) -> Result<(), Trouble> {
        let now = Instant::now();
        self.avoided.retain(|_, until| *until > now);
        self.turn = None;
        let ready: Vec<Name> = self.book.ready(now).into_iter().map(|task| task.id.clone()).collect();
        let desk = self.desk;
        for task in ready {
            let Some(group) = self.book.workflow.task(&task).map(|task| task.group.clone()) else { continue };
            let avoided = &self.avoided;
            match desk.placement.reserve(&desk.view, &desk.name, &group, |worker| avoided.contains_key(worker)) {
                Offer::Place(place) => self.assign(&task, place).await?,
                Offer::Later(moment) => self.turn = Some(self.turn.map_or(moment, |turn| turn.min(moment))),
                Offer::Full => {}
            }
        }
        Ok(())
    }

    /// When something is due although nothing changes.
    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        self.book.next_due(now).into_iter().chain(self.avoided.values().copied()).chain(self.turn).min()
    }
}

async fn read_lines(desk: &Desk, instance: &Name) -> Result<BTreeMap<Name, Line>, Trouble> {
    let listing = desk.session.client().list(&Scope::Children(keys::tasks(instance))).await?;
    let now = Instant::now();
    let mut lines = BTreeMap::new();
    for entry in listing.entries() {
        let record: TaskRecord = decode(entry)?;
        if let Some(task) = name_of(entry) {
            lines.insert(task, Line { record, revision: Some(entry.modified), due: Some(now) });
        }
    }
    Ok(lines)
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
