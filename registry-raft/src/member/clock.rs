//! The clock that sessions are watched with: monotonic, and it goes on while the machine is suspended.

use std::time::Duration;

/// Tells how much time has passed; never goes back, never jumps with the wall clock.
pub(crate) trait Clock: Send + Sync + 'static {
    /// Time since some fixed moment.
    fn now(&self) -> Duration;
}

/// The kernel's clock since boot. `Instant` is not enough on Linux: it stands still while a virtual machine is
/// suspended, and a leader that wakes up must notice that it was away.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BootClock;

#[cfg(target_os = "linux")]
const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Boottime;
/// Elsewhere the monotonic clock is the best there is; on macOS it counts suspension already.
#[cfg(not(target_os = "linux"))]
const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

impl Clock for BootClock {
    fn now(&self) -> Duration {
        let time = rustix::time::clock_gettime(SINCE_BOOT);
        // Both parts are never negative for a clock that counts from boot.
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A clock that stands still until it is told to go on.

    use std::sync::Mutex;
    use std::time::Duration;

    use super::Clock;

    #[derive(Debug, Default)]
    pub(crate) struct ManualClock(Mutex<Duration>);

    impl ManualClock {
        pub(crate) fn advance(&self, by: Duration) {
            *self.0.lock().unwrap() += by;
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }
}
