//! The time that a master plans in one session: drives the instances of its slot, and lets go of the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use registry_api::Session;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::candidacy::Candidacy;
use super::driver::{Desk, drive};
use super::placement::Placement;
use super::slots::Slot;
use super::view::View;
use crate::cluster::Connected;
use crate::enrol::Enrolment;
use crate::name::Name;
use crate::state::{MasterReport, Role, Status, encode};
use crate::vitals::Gauge;

/// How long drivers may take to release their locks when the master is stopped.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// How a tenure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TenureEnd {
    /// The master is being stopped; its locks are released.
    Stopped,
    /// The session was lost, and every lock with it.
    Lost,
}

/// One tenure.
#[derive(Debug)]
pub(crate) struct Tenure<'a> {
    connected: &'a Connected,
    enrolment: &'a Enrolment,
    gauge: &'a mut Gauge,
    desk: Arc<Desk>,
    slot: Option<Slot>,
    masters: Vec<Name>,
    drivers: BTreeMap<Name, CancellationToken>,
    tasks: JoinSet<Name>,
}

impl<'a> Tenure<'a> {
    pub(crate) fn new(
        connected: &'a Connected,
        enrolment: &'a Enrolment,
        gauge: &'a mut Gauge,
        view: Arc<View>,
        session: Session,
    ) -> Self {
        let desk = Desk {
            name: connected.name.clone(),
            session,
            view,
            placement: Placement::default(),
            instances_kept: connected.settings.master.instances_kept,
        };
        Self {
            connected,
            enrolment,
            gauge,
            desk: Arc::new(desk),
            slot: None,
            masters: Vec::new(),
            drivers: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Plans until the session is lost or `stop` is cancelled. No driver outlives it.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> TenureEnd {
        let mut changed = self.desk.view.changed();
        let mut report = tokio::time::interval(self.connected.settings.report_interval.0);
        report.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let session = self.desk.session.clone();
        let candidacy = Candidacy::begin(self.connected, &session);
        loop {
            changed.mark_unchanged();
            if self.split() {
                self.report(Status::Running);
            }
            tokio::select! {
                biased;
                _end = session.ended() => return TenureEnd::Lost,
                () = stop.cancelled() => {
                    self.leave(candidacy).await;
                    return TenureEnd::Stopped;
                }
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(instance) = ended {
                        self.drivers.remove(&instance);
                    }
                }
                _ = changed.changed() => {}
                _ = report.tick() => self.report(Status::Running),
            }
        }
    }

    /// Starts drivers for what belongs to this master's slot, stops those of what does not. Tells whether anything changed.
    fn split(&mut self) -> bool {
        let masters = self.desk.view.live_masters();
        let slot = Slot::among(&masters, &self.connected.name);
        if masters != self.masters {
            let (index, count) = slot.map_or((None, masters.len()), |slot| (Some(slot.index), slot.count));
            let names = masters.iter().map(Name::as_str).collect::<Vec<_>>().join(",");
            tracing::info!(event = "slots", slot = index, slots = count, masters = names, "the split changed");
        }
        let mut changed = slot != self.slot;
        self.slot = slot;
        self.masters = masters;
        let due: Vec<Name> = self
            .desk
            .view
            .instances()
            .into_iter()
            .filter(|(_, record)| !record.state.is_final())
            .map(|(name, _)| name)
            .filter(|instance| slot.is_some_and(|slot| slot.holds(instance)))
            .collect();
        for (instance, driver) in &self.drivers {
            if slot.is_none_or(|slot| !slot.holds(instance)) {
                driver.cancel();
            }
        }
        for instance in due {
            if !self.drivers.contains_key(&instance) {
                self.start(instance);
                changed = true;
            }
        }
        changed
    }

    fn start(&mut self, instance: Name) {
        let stop = CancellationToken::new();
        self.drivers.insert(instance.clone(), stop.clone());
        let desk = self.desk.clone();
        self.tasks.spawn(async move {
            drive(desk, instance.clone(), stop).await;
            instance
        });
    }

    /// Lets other masters take over before the session ends: what is not released in time ends with it.
    async fn leave(&mut self, candidacy: Candidacy) {
        self.report(Status::Leaving);
        for driver in self.drivers.values() {
            driver.cancel();
        }
        let deadline = Instant::now() + RELEASE_TIMEOUT;
        let ended = async {
            tokio::join!(candidacy.end(), async { while self.tasks.join_next().await.is_some() {} });
        };
        let _too_late = tokio::time::timeout_at(deadline, ended).await;
    }

    fn report(&mut self, status: Status) {
        self.enrolment.report(encode(&master_report(self.connected, self.gauge, status, self.slot, &self.drivers)));
    }
}

/// What a master tells about itself.
pub(crate) fn master_report(
    connected: &Connected,
    gauge: &mut Gauge,
    status: Status,
    slot: Option<Slot>,
    drivers: &BTreeMap<Name, CancellationToken>,
) -> MasterReport {
    let member = connected.insight.own_member();
    MasterReport {
        role: Role::Master,
        vitals: gauge.measure(status),
        node: member.as_ref().map(|member| member.node),
        address: member.map(|member| member.address),
        slot: slot.map(|slot| slot.index),
        slots: slot.map_or(0, |slot| slot.count),
        instances: drivers.keys().cloned().collect(),
    }
}
