//! What is known of the group: its name, its members, and who leads.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::boundary::LeaderView;
use crate::proto;

/// The most members that are believed: an answer that names more is cut.
const MEMBERS_MAX: usize = 64;

/// A member and where it is dialled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// Its id.
    pub(crate) id: u64,
    /// `host:port`; the name is resolved on every dial.
    pub(crate) address: String,
}

/// Collects what members say; whoever waits for a leader watches it.
#[derive(Debug)]
pub(crate) struct Group {
    configured: Vec<Target>,
    known: watch::Sender<Known>,
}

/// What is known now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The cluster; empty until the first member was reached, unless it was configured.
    pub(crate) cluster: String,
    /// Who is believed to lead.
    pub(crate) leader: Option<LeaderView>,
    /// The latest term that was heard of.
    pub(crate) term: u64,
    learned: Arc<BTreeMap<u64, String>>,
}

impl Group {
    /// A group of which this is configured; an empty `cluster` takes what is found first.
    pub(crate) fn new(cluster: String, configured: Vec<Target>) -> Self {
        Self { configured, known: watch::Sender::new(Known { cluster, ..Known::default() }) }
    }

    /// What is known, to look at and to wait for.
    pub(crate) fn watch(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// Looks at what is known now; `look` must be quick.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.borrow())
    }

    /// The cluster; empty when not known.
    pub(crate) fn cluster(&self) -> String {
        self.known.borrow().cluster.clone()
    }

    /// Who is believed to lead.
    pub(crate) fn leader(&self) -> Option<LeaderView> {
        self.known.borrow().leader.clone()
    }

    /// Every address worth dialling: what members say first, then what was configured and is not among it.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let learned = Arc::clone(&self.known.borrow().learned);
        let mut targets: Vec<_> =
            learned.iter().map(|(id, address)| Target { id: *id, address: address.clone() }).collect();
        for target in &self.configured {
            if !targets.contains(target) {
                targets.push(target.clone());
            }
        }
        targets
    }

    /// A member was reached and belongs to this cluster.
    pub(crate) fn hear_cluster(&self, cluster: &str) {
        self.known.send_if_modified(|known| {
            let first = known.cluster.is_empty() && !cluster.is_empty();
            if first {
                cluster.clone_into(&mut known.cluster);
            }
            first
        });
    }

    /// A member says who the members are.
    pub(crate) fn hear_members(&self, members: impl IntoIterator<Item = (u64, String)>) {
        let members: BTreeMap<_, _> =
            members.into_iter().filter(|(id, address)| *id != 0 && !address.is_empty()).take(MEMBERS_MAX).collect();
        if members.is_empty() {
            return;
        }
        self.known.send_if_modified(|known| {
            let differs = *known.learned != members;
            if differs {
                known.learned = Arc::new(members);
            }
            differs
        });
    }

    /// The member `from` says who leads. A later term wins; in the same term a leader is never replaced by "nobody",
    /// unless the leader itself says that it does not lead.
    pub(crate) fn hear_leader(&self, from: u64, leader: &proto::Leader) {
        let heard = LeaderView::from_proto(leader.clone());
        self.known.send_if_modified(|known| {
            let believed = known.leader.as_ref().map(|leader| leader.id);
            let takes = leader.term > known.term
                || (leader.term == known.term && (heard.is_some() || believed == Some(from)) && known.leader != heard);
            if takes {
                known.term = leader.term;
                known.leader = heard.clone();
            }
            takes
        });
    }

    /// A member that does not lead says who may: believed where nobody better is known.
    pub(crate) fn hear_hint(&self, from: u64, hint: &str) {
        let Some(target) = Target::parse(hint) else { return };
        self.known.send_if_modified(|known| {
            let open = known.leader.as_ref().is_none_or(|leader| leader.id == from) && target.id != from;
            if open {
                known.leader = Some(LeaderView { id: target.id, address: target.address.clone(), term: known.term });
            }
            open
        });
    }

    /// The member did not answer as leader: it is believed no longer, until somebody names it again.
    pub(crate) fn forget_leader(&self, id: u64) {
        self.known.send_if_modified(|known| {
            let was = known.leader.as_ref().is_some_and(|leader| leader.id == id);
            if was {
                known.leader = None;
            }
            was
        });
    }
}

impl Target {
    /// Parses `id@host:port`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, address) = text.split_once('@')?;
        let id = id.parse().ok().filter(|id| *id != 0)?;
        (!address.is_empty()).then(|| Self { id, address: address.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(id: u64, term: u64) -> proto::Leader {
        proto::Leader { id, address: format!("host-{id}:1"), term }
    }

    fn believed(group: &Group) -> Option<u64> {
        group.leader().map(|leader| leader.id)
    }

    #[test]
    fn the_leader_of_the_latest_term_is_believed() {
        let group = Group::new(String::new(), Vec::new());
        group.hear_leader(1, &leader(1, 3));
        group.hear_leader(2, &leader(2, 2));
        assert_eq!(believed(&group), Some(1));
        group.hear_leader(2, &leader(2, 4));
        assert_eq!(believed(&group), Some(2));
    }

    #[test]
    fn nobody_is_believed_only_from_the_leader_itself_or_a_later_term() {
        let group = Group::new(String::new(), Vec::new());
        group.hear_leader(1, &leader(1, 3));
        group.hear_leader(2, &leader(0, 3));
        assert_eq!(believed(&group), Some(1));
        group.hear_leader(1, &leader(0, 3));
        assert_eq!(believed(&group), None);
        group.hear_leader(1, &leader(1, 3));
        group.hear_leader(3, &leader(0, 4));
        assert_eq!(believed(&group), None);
    }

    #[test]
    fn a_forgotten_leader_comes_back_when_it_is_named_again() {
        let group = Group::new(String::new(), Vec::new());
        group.hear_leader(2, &leader(1, 3));
        group.forget_leader(1);
        assert_eq!(believed(&group), None);
        group.hear_leader(2, &leader(1, 3));
        assert_eq!(believed(&group), Some(1));
    }

    #[test]
    fn a_hint_fills_a_gap_and_replaces_only_the_member_that_gave_it() {
        let group = Group::new(String::new(), Vec::new());
        group.hear_hint(1, "2@b:1");
        assert_eq!(believed(&group), Some(2));
        group.hear_hint(1, "3@c:1");
        assert_eq!(believed(&group), Some(2));
        group.hear_hint(2, "3@c:1");
        assert_eq!(believed(&group), Some(3));
        group.hear_hint(3, "nonsense");
        assert_eq!(believed(&group), Some(3));
    }

    #[test]
    fn learned_addresses_are_added_to_the_configured_ones() {
        let configured = Target { id: 1, address: "a:1".to_owned() };
        let group = Group::new(String::new(), vec![configured.clone()]);
        group.hear_members([(1, "a:1".to_owned()), (2, "b:1".to_owned()), (0, "c:1".to_owned())]);
        assert_eq!(group.targets(), [configured, Target { id: 2, address: "b:1".to_owned() }]);
    }
}
