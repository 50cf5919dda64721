//! Placement: which worker gets the next attempt, by group, capacity and load.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use registry_api::{Revision, SessionId};

use super::view::{LiveWorker, View};
use crate::name::Name;
use crate::state::Status;

/// Counts what this master assigned and its mirror does not show yet, so that its drivers do not all choose the worker
/// that was idle a moment ago. Other masters' assignments are seen when the mirror shows them; a worker that is above its
/// capacity all the same declines.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    reserved: Mutex<Reserved>,
}

#[derive(Debug, Default)]
struct Reserved {
    next: u64,
    places: BTreeMap<u64, Place>,
}

#[derive(Debug)]
struct Place {
    worker: Name,
    /// The revision of the assignment, once it is committed.
    committed: Option<Revision>,
}

/// A place at a worker, given back when this is dropped before it was [committed](Reservation::committed).
#[derive(Debug)]
pub(crate) struct Reservation<'a> {
    placement: &'a Placement,
    id: u64,
    pub(crate) worker: Name,
    pub(crate) session: SessionId,
}

impl Placement {
    /// Reserves a place at the best worker of `group` that is not to be avoided; `None` when no worker has room.
    pub(crate) fn reserve(&self, view: &View, group: &Name, avoid: impl Fn(&Name) -> bool) -> Option<Reservation<'_>> {
        let workers = view.live_workers();
        let mut reserved = self.lock();
        let seen = view.assignments.revision();
        reserved.places.retain(|_, place| place.committed.is_none_or(|revision| revision > seen));
        let mut outstanding = in_flight(view);
        for place in reserved.places.values() {
            *outstanding.entry(place.worker.clone()).or_default() += 1;
        }
        let worker = choose(&workers, &outstanding, group, avoid)?;
        let id = reserved.next;
        reserved.next += 1;
        reserved.places.insert(id, Place { worker: worker.name.clone(), committed: None });
        Some(Reservation { placement: self, id, worker: worker.name.clone(), session: worker.session })
    }

    fn lock(&self) -> MutexGuard<'_, Reserved> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation<'_> {
    /// The assignment was committed at this revision: the place counts until the mirror shows it.
    pub(crate) fn committed(self, revision: Revision) {
        if let Some(place) = self.placement.lock().places.get_mut(&self.id) {
            place.committed = Some(revision);
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut reserved = self.placement.lock();
        if reserved.places.get(&self.id).is_some_and(|place| place.committed.is_none()) {
            reserved.places.remove(&self.id);
        }
    }
}

/// How many assignments each worker has, by the mirror. The keys are `/assignments/<worker>/<instance>/<task>`.
fn in_flight(view: &View) -> BTreeMap<Name, usize> {
    let mut counts = BTreeMap::new();
    for key in view.assignments.entries().keys() {
        if let Some(worker) = key.segments().nth(1).and_then(|segment| segment.parse::<Name>().ok()) {
            *counts.entry(worker).or_default() += 1;
        }
    }
    counts
}

/// The worker with the smallest share of its capacity in use, then the smallest load.
fn choose<'w>(
    workers: &'w [LiveWorker],
    outstanding: &BTreeMap<Name, usize>,
    group: &Name,
    avoid: impl Fn(&Name) -> bool,
) -> Option<&'w LiveWorker> {
    let in_use = |worker: &LiveWorker| outstanding.get(&worker.name).copied().unwrap_or(0);
    let ready = workers.iter().filter(|worker| {
        let report = &worker.report;
        let has_room = in_use(worker) < report.capacity;
        report.group == *group && report.vitals.status == Status::Running && has_room && !avoid(&worker.name)
    });
    ready.min_by(|a, b| {
        // a/ca < b/cb without rounding: a*cb < b*ca.
        let shares = (in_use(a) * b.report.capacity).cmp(&(in_use(b) * a.report.capacity));
        shares.then_with(|| a.report.vitals.load.total_cmp(&b.report.vitals.load)).then_with(|| a.name.cmp(&b.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Role, Vitals, WorkerReport};

    fn worker(name: &str, group: &str, capacity: usize, load: f64, status: Status) -> LiveWorker {
        let vitals = Vitals {
            host: String::new(),
            ip: String::new(),
            pid: 1,
            cpu: 0.0,
            memory_used: 0,
            memory_total: 0,
            load,
            status,
            started_at: 0,
            reported_at: 0,
        };
        LiveWorker {
            name: name.parse().unwrap(),
            session: SessionId::new(1),
            report: WorkerReport { role: Role::Worker, vitals, group: group.parse().unwrap(), capacity, running: 0 },
        }
    }

    fn chosen(workers: &[LiveWorker], outstanding: &[(&str, usize)]) -> Option<String> {
        let outstanding = outstanding.iter().map(|(name, count)| (name.parse().unwrap(), *count)).collect();
        choose(workers, &outstanding, &"default".parse().unwrap(), |_| false).map(|worker| worker.name.to_string())
    }

    #[test]
    fn the_least_used_share_wins_then_the_load() {
        let workers =
            [worker("big", "default", 8, 0.9, Status::Running), worker("small", "default", 2, 0.1, Status::Running)];
        assert_eq!(chosen(&workers, &[("big", 2), ("small", 1)]).as_deref(), Some("big"));
        assert_eq!(chosen(&workers, &[("big", 4), ("small", 1)]).as_deref(), Some("small"));
    }

    #[test]
    fn who_is_full_busy_leaving_or_of_another_group_gets_nothing() {
        let workers = [
            worker("full", "default", 1, 0.0, Status::Running),
            worker("busy", "default", 9, 0.0, Status::Busy),
            worker("leaving", "default", 9, 0.0, Status::Leaving),
            worker("other", "gpu", 9, 0.0, Status::Running),
        ];
        assert_eq!(chosen(&workers, &[("full", 1)]), None);
    }
}
