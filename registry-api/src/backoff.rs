//! How long to wait between attempts: growing, bounded, and spread so that many clients do not come back at once.

use std::time::Duration;

use rand::Rng;

#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    current: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, current: first }
    }

    /// For work that is done again until it succeeds: 50 ms, doubling up to 5 s.
    pub(crate) const fn patient() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(5))
    }

    pub(crate) fn reset(&mut self) {
        self.current = self.first;
    }

    /// The next pause: between half of the current value and all of it.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.current.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.current = (self.current * 2).min(self.longest);
        pause
    }

    pub(crate) async fn sleep(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_limit_and_start_again_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(40));
        let pauses: Vec<_> = (0..5).map(|_| backoff.pause()).collect();
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(40)), "{pauses:?}");
        assert!(pauses[4] >= Duration::from_millis(20), "{pauses:?}");
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(10));
    }
}
