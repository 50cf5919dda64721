//! What the attempts of one request add up to: when to try again, when to stop, and what may have happened.

use tokio::time::Instant;

use super::ClientTiming;
use super::backoff::Backoff;
use crate::boundary::Failed;
use crate::proto;
use crate::proto::Failure;

/// The attempts of one request so far.
#[derive(Debug)]
pub(crate) struct Attempts {
    deadline: Instant,
    backoff: Backoff,
    maybe_applied: bool,
    last: String,
}

/// What to do after an attempt that may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The member does not lead; it may know who does.
    NotLeader {
        /// `id@address`, or empty.
        hint: String,
    },
    /// The member can answer, but not now.
    Later,
    /// The member was not reached, or the answer was lost.
    Lost,
}

impl Attempts {
    pub(crate) fn new(timing: ClientTiming, deadline: Instant) -> Self {
        let backoff = Backoff::new(timing.retry_min, timing.retry_max);
        Self { deadline, backoff, maybe_applied: false, last: String::new() }
    }

    /// Whether any sending so far may have been taken.
    pub(crate) fn maybe_applied(&self) -> bool {
        self.maybe_applied
    }

    /// Judges an attempt.
    ///
    /// | the attempt                              | a sending may have been applied | then      |
    /// |------------------------------------------|---------------------------------|-----------|
    /// | never reached the member                 | as before                       | again     |
    /// | refused: not the leader                  | as before                       | again     |
    /// | refused: unavailable, surely no effect   | as before                       | again     |
    /// | refused: effect unknown, to be retried   | yes                             | again     |
    /// | refused for another reason               | as before, or as it says        | final     |
    /// | connection lost, or no answer in time    | yes                             | again     |
    ///
    /// # Errors
    ///
    /// A refusal that repeating cannot change.
    pub(crate) fn judge(&mut self, failed: Failed) -> Result<Verdict, proto::Refusal> {
        let mut refusal = match failed {
            Failed::NotSent(reason) => {
                self.last = reason;
                return Ok(Verdict::Lost);
            }
            Failed::Lost(reason) => {
                self.maybe_applied = true;
                self.last = reason;
                return Ok(Verdict::Lost);
            }
            Failed::Refused(refusal) => refusal,
        };
        self.maybe_applied |= refusal.effect_unknown;
        match refusal.failure() {
            Failure::NotLeader => {
                self.last = refusal.message;
                Ok(Verdict::NotLeader { hint: refusal.leader })
            }
            Failure::Unavailable | Failure::DeadlineExceeded => {
                self.last = refusal.message;
                Ok(Verdict::Later)
            }
            _ => {
                refusal.effect_unknown = self.maybe_applied;
                Err(refusal)
            }
        }
    }

    /// When the next round begins, within the deadline.
    pub(crate) fn next_round(&mut self) -> Instant {
        (Instant::now() + self.backoff.wait()).min(self.deadline)
    }

    /// Fails when the deadline has passed.
    pub(crate) fn check_deadline(&mut self) -> Result<(), proto::Refusal> {
        if Instant::now() < self.deadline { Ok(()) } else { Err(self.give_up()) }
    }

    /// As [`Attempts::give_up`], for this reason where there is one.
    pub(crate) fn give_up_because(&mut self, reason: &str) -> proto::Refusal {
        if !reason.is_empty() {
            reason.clone_into(&mut self.last);
        }
        self.give_up()
    }

    /// The refusal of a request that ran out of time.
    pub(crate) fn give_up(&mut self) -> proto::Refusal {
        let last = if self.last.is_empty() { "no member could be reached" } else { &self.last };
        let (failure, message) = if self.maybe_applied {
            (Failure::DeadlineExceeded, format!("no answer within the request timeout; last: {last}"))
        } else {
            (Failure::Unavailable, format!("no member could serve it within the request timeout; last: {last}"))
        };
        proto::Refusal {
            failure: failure.into(),
            message,
            effect_unknown: self.maybe_applied,
            ..proto::Refusal::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use registry_api::Effect;

    use super::*;

    fn refused(failure: Failure, effect: Effect) -> Failed {
        let effect_unknown = effect == Effect::Unknown;
        Failed::Refused(proto::Refusal { failure: failure.into(), effect_unknown, ..proto::Refusal::default() })
    }

    fn attempts() -> Attempts {
        Attempts::new(ClientTiming::default(), Instant::now() + Duration::from_secs(1))
    }

    /// What is judged, whether it ends the request, and whether it may have been applied then.
    #[tokio::test]
    async fn the_truth_table_of_effects() {
        let cases = [
            (Failed::NotSent(String::new()), false, false),
            (Failed::Lost(String::new()), false, true),
            (refused(Failure::NotLeader, Effect::NotApplied), false, false),
            (refused(Failure::Unavailable, Effect::NotApplied), false, false),
            (refused(Failure::Unavailable, Effect::Unknown), false, true),
            (refused(Failure::DeadlineExceeded, Effect::Unknown), false, true),
            (refused(Failure::LimitExceeded, Effect::NotApplied), true, false),
            (refused(Failure::Internal, Effect::Unknown), true, true),
        ];
        for (failed, ends, maybe_applied) in cases {
            let mut attempts = attempts();
            let verdict = attempts.judge(failed.clone());
            assert_eq!(verdict.is_err(), ends, "{failed:?}");
            assert_eq!(attempts.maybe_applied(), maybe_applied, "{failed:?}");
        }
    }

    #[tokio::test]
    async fn a_sure_refusal_after_a_lost_sending_says_nothing_of_that_sending() {
        let mut attempts = attempts();
        attempts.judge(Failed::Lost("reset".to_owned())).unwrap();
        let refusal = attempts.judge(refused(Failure::LimitExceeded, Effect::NotApplied)).unwrap_err();
        assert!(refusal.effect_unknown);
        let refusal = attempts.give_up();
        assert!(refusal.effect_unknown);
        assert_eq!(refusal.failure(), Failure::DeadlineExceeded);
    }

    #[tokio::test]
    async fn a_request_that_never_left_is_surely_not_applied_at_its_deadline() {
        let mut attempts = attempts();
        attempts.judge(Failed::NotSent("connection refused".to_owned())).unwrap();
        let refusal = attempts.give_up();
        assert!(!refusal.effect_unknown);
        assert_eq!(refusal.failure(), Failure::Unavailable);
        assert_eq!(refusal.message, "no member could serve it within the request timeout; last: connection refused");
    }
}
