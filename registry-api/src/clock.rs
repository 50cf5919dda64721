//! The clock of deadlines: monotonic, and counting the time that the machine was suspended.
//!
//! `std::time::Instant` and the timers of tokio stand still while the machine sleeps, so a holder that wakes up would
//! believe in a deadline that has passed for everybody else. `CLOCK_BOOTTIME` goes on. Timers are therefore used in
//! short slices only, and each decision looks at this clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The longest time that a waiter relies on a timer before it looks at the clock again: how late a loss is told, at
/// most, after the machine was suspended. Looking (`check`, `state`) is exact at any time.
const SLICE: Duration = Duration::from_millis(200);

/// A moment on a [`Clock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    #[cfg(test)]
    pub(crate) const fn new(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    pub(crate) fn until(self, later: Self) -> Duration {
        later.0.saturating_sub(self.0)
    }
}

/// Tells the time for deadlines. Injected, because the real one can neither be stopped nor stepped in tests.
pub(crate) trait Clock: fmt::Debug + Send + Sync + 'static {
    fn now(&self) -> Moment;
}

/// `CLOCK_BOOTTIME`, or what comes nearest to it on systems without one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootClock;

#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT: rustix::time::ClockId = rustix::time::ClockId::Boottime;
/// On macOS this clock counts suspension by itself; elsewhere a suspended machine is noticed by the backend only.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

impl Clock for BootClock {
    fn now(&self) -> Moment {
        let time = rustix::time::clock_gettime(BOOT);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        Moment(Duration::new(seconds, nanoseconds))
    }
}

/// Waits until `at`; returns at the latest one slice after it, whatever happened to the machine meanwhile.
pub(crate) async fn sleep_until(clock: &dyn Clock, at: Moment) {
    loop {
        let remaining = clock.now().until(at);
        if remaining.is_zero() {
            return;
        }
        tokio::time::sleep(remaining.min(SLICE)).await;
    }
}

/// A moment after which something no longer holds: purely local and monotonic, also across a suspended machine.
#[derive(Clone)]
pub struct Deadline {
    at: Moment,
    clock: Arc<dyn Clock>,
}

impl Deadline {
    pub(crate) fn new(at: Moment, clock: Arc<dyn Clock>) -> Self {
        Self { at, clock }
    }

    /// How long it is until then; zero once it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.clock.now().until(self.at)
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.remaining().is_zero()
    }
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Deadline {}

impl fmt::Debug for Deadline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Deadline(in {:?})", self.remaining())
    }
}

/// A clock for tests: follows tokio's clock, which can be paused, and jumps ahead on demand as after a freeze.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct TestClock {
    origin: tokio::time::Instant,
    ahead: std::sync::Mutex<Duration>,
}

#[cfg(test)]
impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { origin: tokio::time::Instant::now(), ahead: std::sync::Mutex::default() })
    }

    /// The machine was suspended this long: timers did not notice.
    pub(crate) fn jump(&self, duration: Duration) {
        *self.ahead.lock().unwrap() += duration;
    }
}

#[cfg(test)]
impl Clock for TestClock {
    fn now(&self) -> Moment {
        Moment::new(self.origin.elapsed() + *self.ahead.lock().unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_never_goes_back() {
        let first = BootClock.now();
        let second = BootClock.now();
        assert!(second >= first);
        assert!(first > Moment::new(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_notices_a_jump_within_one_slice() {
        let clock = TestClock::new();
        let started = tokio::time::Instant::now();
        let until = clock.now().plus(Duration::from_secs(3600));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { sleep_until(&*clock, until).await }
        });
        tokio::task::yield_now().await;

        clock.jump(Duration::from_secs(3600));

        sleeper.await.unwrap();
        assert!(started.elapsed() <= SLICE, "told {:?} after the jump", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_has_passed_exactly_at_its_moment() {
        let clock = TestClock::new();
        let deadline = Deadline::new(clock.now().plus(Duration::from_millis(100)), clock.clone());
        clock.jump(Duration::from_millis(99));
        assert!(!deadline.has_passed());
        clock.jump(Duration::from_millis(1));
        assert!(deadline.has_passed());
    }
}
