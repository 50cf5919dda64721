//! The time that a worker works in one session: takes its assignments, up to its capacity, until the session is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use registry_api::{Event, Key, Scope, Session, Subscription};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::{attend, decline};
use super::command::Reins;
use super::report::{Courier, Offer};
use crate::cluster::Connected;
use crate::enrol::Enrolment;
use crate::state::{AssignmentState, Report, Role, Status, WorkerReport, encode, keys};
use crate::vitals::Gauge;

/// Before the assignments are subscribed to again.
const RESUBSCRIBE_PAUSE: Duration = Duration::from_millis(100);
/// How long the last reports may take when the worker is stopped, beyond the grace of its tasks.
const LAST_REPORTS_TIMEOUT: Duration = Duration::from_secs(2);

/// How a shift ended. Nothing runs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShiftEnd {
    /// The worker is being stopped.
    Stopped,
    /// The session was lost.
    Lost,
}

/// One shift.
#[derive(Debug)]
pub(super) struct Shift<'a> {
    connected: &'a Connected,
    enrolment: &'a Enrolment,
    gauge: &'a mut Gauge,
    courier: Arc<Courier>,
    session: Session,
    /// The attempts that are attended to, by the key of their assignment.
    running: BTreeMap<Key, Reins>,
    jobs: JoinSet<(Key, Option<(Offer, Report)>)>,
    /// Reports on their way, refusals of work among them. They outlive the shift: a result that comes too late is kept
    /// as refused.
    deliveries: &'a mut JoinSet<()>,
}

impl<'a> Shift<'a> {
    pub(super) fn new(
        connected: &'a Connected,
        enrolment: &'a Enrolment,
        gauge: &'a mut Gauge,
        (courier, deliveries): (Arc<Courier>, &'a mut JoinSet<()>),
        session: Session,
    ) -> Self {
        Self {
            connected,
            enrolment,
            gauge,
            courier,
            session,
            running: BTreeMap::new(),
            jobs: JoinSet::new(),
            deliveries,
        }
    }

    /// Works until the session is lost or `stop` is cancelled.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> ShiftEnd {
        let session = self.session.clone();
        let mut tick = tokio::time::interval(self.connected.settings.report_interval.0);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut assignments = None;
        loop {
            tokio::select! {
                biased;
                _end = session.ended() => {
                    self.kill_all().await;
                    return ShiftEnd::Lost;
                }
                () = stop.cancelled() => {
                    self.leave().await;
                    return ShiftEnd::Stopped;
                }
                Some(ended) = self.jobs.join_next() => {
                    if let Ok((key, report)) = ended {
                        self.running.remove(&key);
                        self.deliver(report);
                    }
                    self.report();
                }
                Some(_delivered) = self.deliveries.join_next() => {}
                event = next_event(&mut assignments, &self.connected.client, &self.connected.name) => self.receive(event),
                _ = tick.tick() => self.report(),
            }
        }
    }

    fn receive(&mut self, event: Event) {
        match event {
            Event::Snapshot { listing, .. } => {
                // What is not there any more was withdrawn while nobody was told.
                for (key, reins) in &self.running {
                    if !listing.entries().any(|entry| entry.key == *key) {
                        reins.kill.cancel();
                    }
                }
                listing.entries().filter_map(Offer::read).for_each(|offer| self.consider(offer));
            }
            Event::Put { entry, .. } => {
                if let Some(offer) = Offer::read(&entry) {
                    self.consider(offer);
                }
            }
            // Withdrawn; or ended by its own report, when nothing is left to kill.
            Event::Delete { previous, .. } => {
                if let Some(reins) = self.running.get(&previous.key) {
                    reins.kill.cancel();
                }
            }
            _ => {}
        }
    }

    /// Takes an offer, or declines it, if it is one for this session.
    fn consider(&mut self, offer: Offer) {
        let is_mine = offer.assignment.session == self.session.id();
        let is_open = offer.assignment.state == AssignmentState::Offered;
        if !is_mine || !is_open || self.running.contains_key(&offer.key) {
            return;
        }
        if let Some(reason) = self.busy() {
            self.deliveries.spawn(decline(self.courier.clone(), offer, reason));
            return;
        }
        let reins = Reins::default();
        self.running.insert(offer.key.clone(), reins.clone());
        let (courier, grace) = (self.courier.clone(), self.connected.settings.worker.stop_grace.0);
        self.jobs.spawn(async move {
            let key = offer.key.clone();
            (key, attend(courier, offer, grace, reins).await)
        });
        self.report();
    }

    fn deliver(&mut self, report: Option<(Offer, Report)>) {
        if let Some((offer, report)) = report {
            let courier = self.courier.clone();
            self.deliveries.spawn(async move {
                courier.deliver(&offer, &report).await;
            });
        }
    }

    /// Why no further work can be taken; `None` when it can.
    fn busy(&self) -> Option<String> {
        let capacity = self.connected.settings.worker.capacity;
        if self.running.len() >= capacity {
            return Some(format!("{} of {capacity} tasks run already", self.running.len()));
        }
        self.overload().map(|(load, limit)| format!("the load per core is {load:.2}, above {limit:.2}"))
    }

    fn overload(&self) -> Option<(f64, f64)> {
        let limit = self.connected.settings.worker.load_max?;
        let load = self.gauge.load();
        (load > limit).then_some((load, limit))
    }

    fn report(&mut self) {
        let status = if self.overload().is_some() { Status::Busy } else { Status::Running };
        self.tell(status);
    }

    fn tell(&mut self, status: Status) {
        let report = worker_report(self.connected, self.gauge, status, self.running.len());
        self.enrolment.report(encode(&report));
    }

    /// The session is over, and somebody else may run these tasks any moment: they are killed, not asked. Returns when
    /// all have ended.
    async fn kill_all(&mut self) {
        for reins in self.running.values() {
            reins.kill.cancel();
        }
        while let Some(ended) = self.jobs.join_next().await {
            // One that had ended by itself just before is still reported: to be refused, and kept as that.
            if let Ok((_key, report)) = ended {
                self.deliver(report);
            }
        }
    }

    /// Stops the tasks, gently first, and gives their attempts back.
    async fn leave(&mut self) {
        self.tell(Status::Leaving);
        for reins in self.running.values() {
            reins.stop.cancel();
        }
        let grace = self.connected.settings.worker.stop_grace.0;
        let deadline = Instant::now() + grace + LAST_REPORTS_TIMEOUT;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.jobs.join_next()).await {
            if let Ok((_key, report)) = ended {
                self.deliver(report);
            }
        }
        while let Ok(Some(_delivered)) = tokio::time::timeout_at(deadline, self.deliveries.join_next()).await {}
    }
}

/// The next event about the worker's assignments, whatever happens to the subscription: a new one begins with a snapshot.
async fn next_event(
    subscription: &mut Option<Subscription>,
    client: &registry_api::RegistryClient,
    worker: &crate::name::Name,
) -> Event {
    loop {
        if let Some(open) = subscription {
            match open.next().await {
                Some(Ok(event)) => return event,
                Some(Err(error)) => tracing::debug!(%error, "the subscription to the assignments ended"),
                None => {}
            }
            *subscription = None;
            tokio::time::sleep(RESUBSCRIBE_PAUSE).await;
        }
        match client.subscribe(&Scope::Tree(keys::assignments_of(worker))).await {
            Ok(opened) => *subscription = Some(opened),
            Err(error) => {
                tracing::debug!(%error, "the assignments cannot be subscribed to");
                tokio::time::sleep(RESUBSCRIBE_PAUSE).await;
            }
        }
    }
}

/// What a worker tells about itself.
pub(super) fn worker_report(connected: &Connected, gauge: &mut Gauge, status: Status, running: usize) -> WorkerReport {
    let settings = &connected.settings.worker;
    WorkerReport {
        role: Role::Worker,
        vitals: gauge.measure(status),
        group: settings.group.clone(),
        capacity: settings.capacity,
        running,
    }
}
