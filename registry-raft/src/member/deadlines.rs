//! Who was heard of when, and who was silent for too long: the table behind sessions and client identities.
//!
//! A heartbeat only notes a new deadline. The queue holds one entry for each life, at a deadline that may be outdated;
//! when it comes up, it is queued again at the deadline of then. So a heartbeat costs one look-up and no allocation, and
//! each life is queued about once in its ttl. (The lazy timer of kernels and of actor runtimes.)

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use crate::member::limits::{OVERDUE_GRACE, ROUND_TRIPS_KEPT};

/// The lives that are watched.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    lives: HashMap<u64, Life>,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
}

#[derive(Clone, Debug)]
struct Life {
    ttl: Duration,
    deadline: Duration,
    /// When it was heard last, or when this table began to watch it.
    heard: Duration,
    stage: Stage,
    /// Whether the queue holds its one entry.
    queued: bool,
    round_trips: [u32; ROUND_TRIPS_KEPT],
    round_trips_seen: u32,
    leader_changes: u32,
    stalls: u32,
}

/// How far a silence has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Alive,
    /// The deadline has passed. A heartbeat that arrived in time may still wait in a socket, so it gets a grace.
    Overdue,
    /// The end was proposed; nothing can be heard any more.
    Ending,
}

/// Why everybody gets a full ttl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// This member began to lead: nobody knows what the leader before had heard.
    LeaderChange,
    /// The leader did not run, or had no quorum: it could not hear.
    Stall,
}

/// What became of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It lives for this long from now.
    Alive(Duration),
    /// Its end was proposed.
    Ending,
    /// It is not there.
    Unknown,
}

/// A life that was silent for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silent {
    pub(crate) id: u64,
    pub(crate) ttl: Duration,
    pub(crate) silent: Duration,
    /// In microseconds, newest last.
    pub(crate) round_trips: Vec<u64>,
    pub(crate) leader_changes: u32,
    pub(crate) stalls: u32,
}

impl Deadlines {
    /// Begins to watch; what is there already gets a full ttl.
    pub(crate) fn begin(&mut self, id: u64, ttl: Duration, now: Duration) {
        let life = Life {
            ttl,
            deadline: now + ttl,
            heard: now,
            stage: Stage::Alive,
            queued: true,
            round_trips: [0; ROUND_TRIPS_KEPT],
            round_trips_seen: 0,
            leader_changes: 0,
            stalls: 0,
        };
        if !self.lives.insert(id, life).is_some_and(|before| before.queued) {
            self.queue.push(Reverse((now + ttl, id)));
            self.shrink();
        }
    }

    /// It is over: nothing more is known of it.
    pub(crate) fn end(&mut self, id: u64) {
        self.lives.remove(&id);
    }

    /// Watches exactly these from now on; what was known of those that stay is kept.
    pub(crate) fn replace(&mut self, lives: impl Iterator<Item = (u64, Duration)>, now: Duration) {
        let mut before = std::mem::take(&mut self.lives);
        self.queue.clear();
        for (id, ttl) in lives {
            match before.remove(&id) {
                Some(life) => {
                    if life.queued {
                        self.queue.push(Reverse((life.deadline, id)));
                    }
                    self.lives.insert(id, life);
                }
                None => self.begin(id, ttl, now),
            }
        }
    }

    /// Gives everybody a full ttl from now.
    pub(crate) fn renew_all(&mut self, now: Duration, why: Renewal) {
        for (id, life) in &mut self.lives {
            match why {
                Renewal::LeaderChange => {
                    life.leader_changes = life.leader_changes.saturating_add(1);
                    life.heard = now;
                    // What an earlier leadership proposed is settled by now: it was not applied, or this life would not
                    // be here.
                    if !std::mem::replace(&mut life.queued, true) {
                        self.queue.push(Reverse((now + life.ttl, *id)));
                    }
                    life.stage = Stage::Alive;
                }
                Renewal::Stall => {
                    life.stalls = life.stalls.saturating_add(1);
                    if life.stage == Stage::Overdue {
                        life.stage = Stage::Alive;
                    }
                }
            }
            life.deadline = now + life.ttl;
        }
    }

    /// Time in which nobody could be heard does not count.
    pub(crate) fn extend_all(&mut self, by: Duration) {
        for life in self.lives.values_mut() {
            life.deadline += by;
            if life.stage == Stage::Overdue {
                life.stage = Stage::Alive;
            }
        }
    }

    /// It was heard now; `round_trip_us` is of the heartbeat before, 0 where there was none.
    pub(crate) fn heard(&mut self, id: u64, round_trip_us: u64, now: Duration) -> Heard {
        let Some(life) = self.lives.get_mut(&id) else {
            return Heard::Unknown;
        };
        if life.stage == Stage::Ending {
            return Heard::Ending;
        }
        life.stage = Stage::Alive;
        life.heard = now;
        life.deadline = now + life.ttl;
        if round_trip_us > 0 {
            let place = life.round_trips_seen as usize % ROUND_TRIPS_KEPT;
            if let Some(slot) = life.round_trips.get_mut(place) {
                *slot = u32::try_from(round_trip_us).unwrap_or(u32::MAX);
            }
            life.round_trips_seen = life.round_trips_seen.wrapping_add(1);
        }
        Heard::Alive(life.ttl)
    }

    /// Those whose silence is certain now, at most `max`; each is reported once, until it is revived or blamed again.
    pub(crate) fn silent(&mut self, now: Duration, max: usize) -> Vec<Silent> {
        let mut silent = Vec::new();
        let mut again = Vec::new();
        while silent.len() < max {
            match self.queue.peek() {
                Some(&Reverse((at, _))) if at <= now => {}
                _ => break,
            }
            let Some(Reverse((_, id))) = self.queue.pop() else { break };
            let Some(life) = self.lives.get_mut(&id) else { continue };
            match life.stage {
                Stage::Alive | Stage::Overdue if life.deadline > now => again.push(Reverse((life.deadline, id))),
                Stage::Alive => {
                    life.stage = Stage::Overdue;
                    again.push(Reverse((now + OVERDUE_GRACE, id)));
                }
                Stage::Overdue | Stage::Ending => {
                    life.stage = Stage::Ending;
                    life.queued = false;
                    silent.push(life.silent(id, now));
                }
            }
        }
        self.queue.extend(again);
        silent
    }

    /// Its end surely did not come to pass: it gets a full ttl.
    pub(crate) fn revive(&mut self, id: u64, now: Duration) {
        if let Some(life) = self.lives.get_mut(&id).filter(|life| life.stage == Stage::Ending) {
            life.stage = Stage::Alive;
            life.deadline = now + life.ttl;
            if !std::mem::replace(&mut life.queued, true) {
                self.queue.push(Reverse((life.deadline, id)));
            }
        }
    }

    /// Whether its end came to pass cannot be told: it is reported again, and stays unheard.
    pub(crate) fn blame_again(&mut self, id: u64, now: Duration) {
        let Some(life) = self.lives.get_mut(&id).filter(|life| life.stage == Stage::Ending) else { return };
        if !std::mem::replace(&mut life.queued, true) {
            self.queue.push(Reverse((now, id)));
        }
    }

    /// How many are watched.
    pub(crate) fn len(&self) -> usize {
        self.lives.len()
    }

    /// Drops the queue entries of lives that ended early, once they are the larger part.
    fn shrink(&mut self) {
        if self.queue.len() > 2 * self.lives.len() + 1024 {
            let lives = &self.lives;
            self.queue.retain(|Reverse((_, id))| lives.contains_key(id));
        }
    }
}

impl Life {
    fn silent(&self, id: u64, now: Duration) -> Silent {
        let seen = self.round_trips_seen as usize;
        let kept = seen.min(ROUND_TRIPS_KEPT);
        let round_trips = (seen - kept..seen)
            .filter_map(|place| self.round_trips.get(place % ROUND_TRIPS_KEPT).map(|&micros| u64::from(micros)))
            .collect();
        Silent {
            id,
            ttl: self.ttl,
            silent: now.saturating_sub(self.heard),
            round_trips,
            leader_changes: self.leader_changes,
            stalls: self.stalls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);
    const TICK: Duration = Duration::from_millis(50);

    fn ids(silent: &[Silent]) -> Vec<u64> {
        silent.iter().map(|silent| silent.id).collect()
    }

    fn one() -> Deadlines {
        let mut deadlines = Deadlines::default();
        deadlines.begin(1, TTL, Duration::ZERO);
        deadlines
    }

    #[test]
    fn silence_is_reported_after_the_ttl_and_the_grace_and_only_once() {
        let mut deadlines = one();
        assert!(deadlines.silent(TTL - TICK, 10).is_empty());
        assert!(deadlines.silent(TTL, 10).is_empty(), "a heartbeat may still wait in a socket");
        assert!(deadlines.silent(TTL + OVERDUE_GRACE / 2, 10).is_empty(), "looking more often changes nothing");
        assert_eq!(ids(&deadlines.silent(TTL + TICK, 10)), [1]);
        assert!(deadlines.silent(TTL * 9, 10).is_empty());
    }

    #[test]
    fn a_heartbeat_moves_the_deadline_also_when_it_is_overdue() {
        let mut deadlines = one();
        assert_eq!(deadlines.heard(1, 0, TTL / 2), Heard::Alive(TTL));
        assert!(deadlines.silent(TTL, 10).is_empty());
        assert!(deadlines.silent(TTL + TTL / 2, 10).is_empty());
        assert_eq!(deadlines.heard(1, 0, TTL + TTL / 2 + TICK / 2), Heard::Alive(TTL));
        assert!(deadlines.silent(TTL + TTL / 2 + TICK, 10).is_empty());
        assert!(deadlines.silent(TTL * 2 + TTL / 2, 10).is_empty());
        let late = TTL * 2 + TTL / 2 + TICK;
        assert!(deadlines.silent(late, 10).is_empty());
        assert_eq!(ids(&deadlines.silent(late + TICK, 10)), [1]);
    }

    #[test]
    fn nothing_is_heard_of_a_session_whose_end_was_proposed() {
        let mut deadlines = one();
        deadlines.silent(TTL, 10);
        deadlines.silent(TTL + TICK, 10);
        assert_eq!(deadlines.heard(1, 0, TTL + TICK), Heard::Ending);
        deadlines.blame_again(1, TTL + TICK);
        assert_eq!(ids(&deadlines.silent(TTL + TICK * 2, 10)), [1]);
        deadlines.revive(1, TTL + TICK * 2);
        assert_eq!(deadlines.heard(1, 0, TTL + TICK * 2), Heard::Alive(TTL));
        deadlines.end(1);
        assert_eq!(deadlines.heard(1, 0, TTL + TICK * 2), Heard::Unknown);
    }

    #[test]
    fn a_renewal_gives_everybody_a_full_ttl_and_is_counted() {
        let mut deadlines = one();
        let now = TTL - TICK;
        deadlines.renew_all(now, Renewal::LeaderChange);
        assert!(deadlines.silent(TTL + TICK, 10).is_empty());
        deadlines.renew_all(now + TTL, Renewal::Stall);
        assert!(deadlines.silent(now + TTL, 10).is_empty());
        let end = now + TTL * 2;
        assert!(deadlines.silent(end, 10).is_empty());
        let silent = deadlines.silent(end + TICK, 10);
        assert_eq!((silent[0].leader_changes, silent[0].stalls), (1, 1));
        assert_eq!(silent[0].silent, TTL * 2 + TICK);
    }

    #[test]
    fn a_stall_does_not_bring_back_whose_end_was_proposed_and_a_leader_change_does() {
        let mut deadlines = one();
        deadlines.silent(TTL, 10);
        deadlines.silent(TTL + TICK, 10);
        deadlines.renew_all(TTL * 2, Renewal::Stall);
        assert_eq!(deadlines.heard(1, 0, TTL * 2), Heard::Ending);
        deadlines.renew_all(TTL * 2, Renewal::LeaderChange);
        assert_eq!(deadlines.heard(1, 0, TTL * 2), Heard::Alive(TTL));
        assert!(deadlines.silent(TTL * 3, 10).is_empty());
        assert_eq!(ids(&deadlines.silent(TTL * 3 + TICK, 10)), [1]);
    }

    #[test]
    fn the_last_round_trips_are_kept_newest_last() {
        let mut deadlines = one();
        for round_trip in 1..=11 {
            deadlines.heard(1, round_trip, Duration::ZERO);
        }
        deadlines.silent(TTL, 10);
        assert_eq!(deadlines.silent(TTL + TICK, 10)[0].round_trips, [4, 5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn many_ends_at_once_come_in_bounded_portions_and_none_is_forgotten() {
        let mut deadlines = Deadlines::default();
        for id in 0..1000 {
            deadlines.begin(id, TTL, Duration::ZERO);
        }
        assert!(deadlines.silent(TTL, 256).is_empty());
        let mut seen = Vec::new();
        for tick in 1..=8 {
            let portion = ids(&deadlines.silent(TTL + TICK * tick, 256));
            assert!(portion.len() <= 256);
            seen.extend(portion);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn sessions_that_come_and_go_leave_no_trace() {
        let mut deadlines = Deadlines::default();
        for id in 0..100_000 {
            deadlines.begin(id, TTL, Duration::ZERO);
            deadlines.end(id);
        }
        assert_eq!(deadlines.len(), 0);
        assert!(deadlines.queue.len() <= 1025, "{}", deadlines.queue.len());
    }
}
