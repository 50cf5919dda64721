//! Measures how long the machine kept the tests themselves waiting, so that a loaded machine is not mistaken for a late
//! backend.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

/// How often the meter looks.
const TICK: Duration = Duration::from_millis(5);
/// Waits shorter than this are not worth remembering.
const WORTH_NOTING: Duration = Duration::from_millis(2);
/// The most stalls that are remembered; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 100_000;

/// A task that ticks and remembers by how much each tick was late.
#[derive(Clone, Debug, Default)]
pub(crate) struct StallMeter {
    stalls: Arc<Mutex<VecDeque<(Instant, Duration)>>>,
}

impl StallMeter {
    /// Measures until the returned future is dropped.
    pub(crate) async fn run(self) -> Infallible {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            let before = Instant::now();
            ticks.tick().await;
            let late = before.elapsed().saturating_sub(TICK);
            if late > WORTH_NOTING {
                self.note(late);
            }
        }
    }

    fn note(&self, late: Duration) {
        let mut stalls = self.stalls.lock().unwrap_or_else(PoisonError::into_inner);
        if stalls.len() == REMEMBERED_MAX {
            stalls.pop_front();
        }
        stalls.push_back((Instant::now(), late));
    }

    /// The longest that a ready task was kept waiting since `start`.
    pub(crate) fn worst_since(&self, start: Instant) -> Duration {
        let stalls = self.stalls.lock().unwrap_or_else(PoisonError::into_inner);
        stalls.iter().rev().take_while(|(at, _)| *at >= start).map(|(_, late)| *late).max().unwrap_or_default()
    }
}
