//! Waiting for a condition that no event tells: the only polling in the suite.

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::{Broken, Context, Guarantee, Outcome};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Context {
    /// Looks until what is seen is `wanted`; on the end of the patience says what was seen last.
    #[track_caller]
    pub fn eventually<T, F, R>(
        &self,
        guarantee: Guarantee,
        what: &str,
        mut look: F,
        wanted: impl Fn(&T) -> bool,
    ) -> impl Future<Output = Outcome<T>>
    where
        T: Debug,
        F: FnMut() -> R,
        R: Future<Output = Outcome<T>>,
    {
        let place = Location::caller();
        let patience = self.timing().patience;
        async move {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let start = Instant::now();
            loop {
                ticks.tick().await;
                let seen = look().await?;
                if wanted(&seen) {
                    return Ok(seen);
                }
                if start.elapsed() > patience {
                    let text = format!("waited {patience:?} in vain for {what}; last seen: {seen:?}");
                    return Err(Broken::at(guarantee, text, place));
                }
            }
        }
    }
}
