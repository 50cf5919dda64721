//! Placement: which worker gets the next attempt, by group, capacity and load, without asking the other masters.
//!
//! Masters see each other's assignments a moment late. When a place becomes free, all of them would take it, and the
//! worker would decline all but one. So the free places of a worker are numbered, and each belongs to one of the masters
//! that have work, in turn; a place that its master leaves free for a moment is anybody's. A worker that is above its
//! capacity all the same declines.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use registry_api::{Revision, SessionId};
use tokio::time::Instant;

use super::slots::Slot;
use super::view::{LiveWorker, View};
use crate::name::Name;
use crate::state::Status;

/// How long a free place is left to the master that it belongs to: longer than an assignment takes to be seen.
const TURN: Duration = Duration::from_millis(100);

/// Counts what this master assigned and its mirror does not show yet, so that its drivers do not all choose the worker
/// that was idle a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    reserved: Mutex<Reserved>,
}

#[derive(Debug, Default)]
struct Reserved {
    next: u64,
    places: BTreeMap<u64, Place>,
    /// Since when each worker has had as many assignments as it has.
    steady: BTreeMap<Name, (usize, Instant)>,
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

/// What there is for a task.
#[derive(Debug)]
pub(crate) enum Offer<'a> {
    /// A place.
    Place(Reservation<'a>),
    /// There is room, which is left to other masters until then.
    Later(Instant),
    /// No worker has room.
    Full,
}

/// A worker with what is known of its places.
#[derive(Clone, Debug)]
struct Candidate {
    worker: LiveWorker,
    /// Assignments that the mirror shows.
    seen: usize,
    /// Assignments of this master that it does not show yet.
    unseen: usize,
    /// When its free places are anybody's.
    open_from: Instant,
}

impl Placement {
    /// Reserves a place at the best worker of `group` that is not to be avoided. `own` is this master.
    pub(crate) fn reserve(&self, view: &View, own: &Name, group: &Name, avoid: impl Fn(&Name) -> bool) -> Offer<'_> {
        let now = Instant::now();
        let turn = Slot::among(&view.busy_masters(own), own).unwrap_or(Slot { index: 0, count: 1 });
        let mut reserved = self.lock();
        let candidates: Vec<Candidate> = reserved
            .candidates(view, now)
            .into_iter()
            .filter(|candidate| {
                let report = &candidate.worker.report;
                report.group == *group && report.vitals.status == Status::Running && !avoid(&candidate.worker.name)
            })
            .collect();
        match choose(&candidates, turn, now) {
            Choice::Worker(worker) => {
                let id = reserved.next;
                reserved.next += 1;
                reserved.places.insert(id, Place { worker: worker.name.clone(), committed: None });
                Offer::Place(Reservation { placement: self, id, worker: worker.name.clone(), session: worker.session })
            }
            Choice::Later(moment) => Offer::Later(moment),
            Choice::None => Offer::Full,
        }
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

impl Reserved {
    fn candidates(&mut self, view: &View, now: Instant) -> Vec<Candidate> {
        let revision = view.assignments.revision();
        self.places.retain(|_, place| place.committed.is_none_or(|committed| committed > revision));
        let in_flight = in_flight(view);
        let workers = view.live_workers();
        self.steady.retain(|name, _| workers.iter().any(|worker| worker.name == *name));
        workers
            .into_iter()
            .map(|worker| {
                let seen = in_flight.get(&worker.name).copied().unwrap_or(0);
                let unseen = self.places.values().filter(|place| place.worker == worker.name).count();
                let steady = self.steady.entry(worker.name.clone()).or_insert((seen, now));
                if steady.0 != seen {
                    *steady = (seen, now);
                }
                Candidate { worker, seen, unseen, open_from: steady.1 + TURN }
            })
            .collect()
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

impl Candidate {
    fn in_use(&self) -> usize {
        self.seen + self.unseen
    }

    fn capacity(&self) -> usize {
        self.worker.report.capacity
    }

    /// Whether one of its free places can be taken now: it belongs to `turn`, or to anybody.
    fn is_ready(&self, turn: Slot, now: Instant) -> bool {
        let own = (self.seen..self.capacity()).filter(|place| place % turn.count.max(1) == turn.index).count();
        self.unseen < own || self.open_from <= now
    }
}

#[derive(Debug, PartialEq)]
enum Choice<'c> {
    Worker(&'c LiveWorker),
    Later(Instant),
    None,
}

/// Of the workers with room whose turn it is, the one with the smallest share of its capacity in use, then the smallest
/// load.
fn choose(candidates: &[Candidate], turn: Slot, now: Instant) -> Choice<'_> {
    let with_room = || candidates.iter().filter(|candidate| candidate.in_use() < candidate.capacity());
    let best = with_room().filter(|candidate| candidate.is_ready(turn, now)).min_by(|a, b| {
        // a/ca < b/cb without rounding: a*cb < b*ca.
        let shares = (a.in_use() * b.capacity()).cmp(&(b.in_use() * a.capacity()));
        let load = |candidate: &Candidate| candidate.worker.report.vitals.load;
        shares.then_with(|| load(a).total_cmp(&load(b))).then_with(|| a.worker.name.cmp(&b.worker.name))
    });
    match (best, with_room().map(|candidate| candidate.open_from).min()) {
        (Some(best), _) => Choice::Worker(&best.worker),
        (None, Some(moment)) => Choice::Later(moment),
        (None, None) => Choice::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Role, Vitals, WorkerReport};

    const ALONE: Slot = Slot { index: 0, count: 1 };

    fn candidate(
        name: &str,
        capacity: usize,
        (seen, unseen): (usize, usize),
        load: f64,
        open_from: Instant,
    ) -> Candidate {
        let vitals = Vitals {
            host: String::new(),
            ip: String::new(),
            pid: 1,
            cpu: 0.0,
            memory_used: 0,
            memory_total: 0,
            load,
            status: Status::Running,
            started_at: 0,
            reported_at: 0,
        };
        let group = "default".parse().unwrap();
        let report = WorkerReport { role: Role::Worker, vitals, group, capacity, running: 0 };
        let worker = LiveWorker { name: name.parse().unwrap(), session: SessionId::new(1), report };
        Candidate { worker, seen, unseen, open_from }
    }

    fn chosen(candidates: &[Candidate], turn: Slot, now: Instant) -> Option<&str> {
        match choose(candidates, turn, now) {
            Choice::Worker(worker) => Some(worker.name.as_str()),
            Choice::Later(_) | Choice::None => None,
        }
    }

    #[test]
    fn the_least_used_share_wins_then_the_load() {
        let now = Instant::now();
        let pair = |big, small| [candidate("big", 8, (big, 0), 0.9, now), candidate("small", 2, (small, 0), 0.1, now)];
        assert_eq!(chosen(&pair(2, 1), ALONE, now), Some("big"));
        assert_eq!(chosen(&pair(4, 1), ALONE, now), Some("small"));
    }

    #[test]
    fn a_worker_without_room_gets_nothing_however_long_one_waits() {
        let now = Instant::now();
        let full = [candidate("full", 2, (1, 1), 0.0, now)];
        assert_eq!(choose(&full, ALONE, now), Choice::None);
    }

    #[test]
    fn masters_with_work_take_different_places() {
        let (now, later) = (Instant::now(), Instant::now() + TURN);
        // Of five places, one is in use: the masters see that, and nothing of each other.
        let mut taken = Vec::new();
        for index in 0..3 {
            let turn = Slot { index, count: 3 };
            let mut unseen = 0;
            while chosen(&[candidate("w", 5, (1, unseen), 0.0, later)], turn, now).is_some() {
                unseen += 1;
            }
            taken.push(unseen);
        }
        assert_eq!(taken, [1, 2, 1], "four places in all");
    }

    #[test]
    fn a_place_that_is_left_free_is_anybodys() {
        let (now, later) = (Instant::now(), Instant::now() + TURN);
        let last_place = [candidate("w", 4, (3, 0), 0.0, later)];
        let not_mine = Slot { index: 1, count: 2 + 2 };
        assert_eq!(choose(&last_place, not_mine, now), Choice::Later(later));
        assert_eq!(chosen(&last_place, not_mine, later), Some("w"));
    }
}
