//! What a member says of itself and of the group: kept up to date for clients, this process and health checks.
//!
//! A leader is named only while it is believed able to serve. The leader itself knows by its confirmation. A follower
//! asks the leader for its read index now and then, which only a leader with a quorum gives: so a minority that was cut
//! off says "no leader" soon, although nobody else was elected.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::boundary::{LeaderView, MemberView, Standing};
use crate::member::metrics::Meters;
use crate::member::quorum::{LeaderHint, Leadership, Quorum};
use crate::member::reads::LeaderIndex;

/// How soon a leader without a confirmation looks again, and a follower without an answer asks again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How often a follower asks for the leader's: each time costs the leader a round to its quorum.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long it waits for the answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// A new leader is believed for this long, and an old one after its last answer.
const BELIEVED_FOR: Duration = Duration::from_millis(1500);

/// Publishes the view of one member.
pub(crate) struct ViewKeeper {
    pub(crate) quorum: Arc<dyn Quorum>,
    pub(crate) leader: LeaderIndex,
    pub(crate) meters: Arc<Meters>,
    pub(crate) view: watch::Sender<MemberView>,
}

impl ViewKeeper {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        let mut leadership = self.quorum.leadership();
        let mut believed_until = Instant::now() + BELIEVED_FOR;
        let mut ask_at = Instant::now() + ASK_EVERY;
        let mut known = Leadership::default();
        loop {
            let now = leadership.borrow_and_update().clone();
            if (now.term, &now.leader) != (known.term, &known.leader) {
                believed_until = Instant::now() + BELIEVED_FOR;
                ask_at = Instant::now() + ASK_EVERY;
                self.count(&known, &now);
            }
            known = now;
            let confirmed_until = self.quorum.confirmed_until().filter(|_| known.ready);
            let able_until = if known.leading { confirmed_until } else { Some(believed_until) };
            let able_until = able_until.filter(|until| *until > Instant::now());
            self.publish(known.leader.as_ref().filter(|_| able_until.is_some()), &known);
            let look_again = if known.leading {
                able_until.unwrap_or_else(|| Instant::now() + AGAIN_AFTER)
            } else {
                able_until.map_or(ask_at, |until| until.min(ask_at))
            };
            match timeout_at(look_again, leadership.changed()).await {
                Ok(Ok(())) => continue,
                Ok(Err(_gone)) => return,
                Err(_elapsed) => {}
            }
            if known.leading || Instant::now() < ask_at {
                continue;
            }
            let answered = tokio::select! {
                answered = self.answers(known.leader.as_ref()) => answered,
                // News of another leader do not wait for the answer of this one.
                changed = leadership.changed() => match changed {
                    Ok(()) => continue,
                    Err(_gone) => return,
                },
            };
            if answered {
                believed_until = Instant::now() + BELIEVED_FOR;
            }
            ask_at = Instant::now() + if answered { ASK_EVERY } else { AGAIN_AFTER };
        }
    }

    /// Whether the leader, if there is one, tells its read index in time.
    async fn answers(&self, leader: Option<&LeaderHint>) -> bool {
        match leader {
            Some(leader) => matches!(timeout(ANSWER_WITHIN, self.leader.ask(leader.clone())).await, Ok(Ok(_))),
            None => false,
        }
    }

    /// `leader`: who is believed able to serve.
    fn publish(&self, leader: Option<&LeaderHint>, known: &Leadership) {
        let leader =
            leader.map(|leader| LeaderView { id: leader.id, address: leader.address.clone(), term: known.term });
        let members = self.quorum.members();
        let failed = known.fatal.is_some();
        self.view.send_if_modified(|view| {
            let standing = if failed { Standing::Away } else { view.standing };
            let members_differ = !members.is_empty() && *view.members != members;
            let changed = view.leader != leader || members_differ || view.standing != standing;
            if members_differ {
                view.members = Arc::new(members);
            }
            view.leader = leader;
            view.standing = standing;
            changed
        });
    }

    fn count(&self, before: &Leadership, now: &Leadership) {
        if now.leader.is_some() && before.leader != now.leader {
            self.meters.leader_changes.increment(1);
        }
        self.meters.leading.set(if now.leading { 1.0 } else { 0.0 });
        self.meters.term.set(f64::from(u32::try_from(now.term).unwrap_or(u32::MAX)));
    }
}

impl std::fmt::Debug for ViewKeeper {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ViewKeeper").finish_non_exhaustive()
    }
}
