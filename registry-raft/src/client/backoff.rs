//! Growing waits between attempts, with jitter.

use std::time::Duration;

use rand::Rng;

/// Doubles from a first wait to a longest one; each wait is drawn between half of it and the whole ("equal jitter", M.
/// Brooker, "Exponential Backoff and Jitter", 2015), so that those who failed together do not come back together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// How long to wait now.
    pub(crate) fn wait(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Begins with the first wait again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_begin_again_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(25));
        for longest in [10, 20, 25, 25] {
            let wait = backoff.wait();
            assert!(wait <= Duration::from_millis(longest), "{wait:?} of {longest}");
            assert!(wait >= Duration::from_millis(longest) / 2, "{wait:?} of {longest}");
        }
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_millis(10));
    }
}
