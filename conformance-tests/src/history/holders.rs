//! The order of the holders of one lock: one at a time, each with a larger token than the one before.

use registry_api::FencingToken;

use super::Tick;
use crate::Guarantee::{G8, G9};
use crate::Outcome;
use crate::broken::ensure;

/// One time that a lock was held, as its holder saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) token: FencingToken,
    /// When the grant had arrived.
    pub(crate) granted: Tick,
    /// When the holder began to give it up, by a release or by closing its session.
    pub(crate) given_up: Tick,
}

/// Fails unless the holdings follow each other, in the order of their tokens.
pub(crate) fn check(holdings: &[Holding]) -> Outcome {
    let mut ordered = holdings.to_vec();
    ordered.sort_by_key(|holding| holding.granted);
    for (before, after) in ordered.iter().zip(ordered.iter().skip(1)) {
        ensure!(G8, before.given_up < after.granted, "the lock was held twice at once: {before:?} and {after:?}");
        ensure!(G9, before.token < after.token, "the token of {after:?} is not larger than that of {before:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use registry_api::Revision;

    use super::*;

    fn holding(token: u64, granted: Tick, given_up: Tick) -> Holding {
        Holding { token: FencingToken::new(Revision::new(1, token)), granted, given_up }
    }

    #[test]
    fn holdings_one_after_the_other_are_accepted() {
        check(&[holding(3, 4, 5), holding(1, 0, 1), holding(2, 2, 3)]).unwrap();
    }

    #[test]
    fn two_holders_at_once_are_refused() {
        assert_eq!(check(&[holding(1, 0, 5), holding(2, 3, 6)]).unwrap_err().guarantee(), Some(G8));
    }

    #[test]
    fn tokens_that_do_not_grow_are_refused() {
        assert_eq!(check(&[holding(2, 0, 1), holding(1, 2, 3)]).unwrap_err().guarantee(), Some(G9));
        assert_eq!(check(&[holding(1, 0, 1), holding(1, 2, 3)]).unwrap_err().guarantee(), Some(G9));
    }
}
