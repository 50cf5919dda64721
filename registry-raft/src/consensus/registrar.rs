//! The leader's register of members: under which birth number, and where, each of them is found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use openraft::ChangeMembers;
use tokio::sync::{Notify, watch};

use super::leadership::Leadership;
use super::shared::Shared;
use super::types::Member;

/// What the members said of themselves.
#[derive(Debug, Default)]
pub(crate) struct Births {
    said: Mutex<BTreeMap<u64, Member>>,
    news: Notify,
}

impl Births {
    pub(crate) fn note(&self, id: u64, birth: u64, address: String) {
        let member = Member { address, birth };
        let previous = self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(id, member.clone());
        if previous.as_ref() != Some(&member) {
            self.news.notify_one();
        }
    }

    fn said_by(&self, id: u64) -> Option<Member> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

/// While this member leads: writes what members say of themselves into the membership.
///
/// A birth number that was recorded is never replaced: whoever comes back under another one has lost its data.
pub(crate) async fn keep_register(
    shared: Arc<Shared>,
    births: Arc<Births>,
    mut leadership: watch::Receiver<Leadership>,
) {
    births.note(shared.identity.node, shared.birth, shared.address());
    loop {
        if leadership.borrow_and_update().ready && !record(&shared, &births).await {
            // Refused, for the moment: leadership changes, or another change of the members is under way.
            tokio::time::sleep(shared.timing.heartbeat).await;
            continue;
        }
        tokio::select! {
            () = births.news.notified() => {}
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}

/// Whether the membership says what is known.
async fn record(shared: &Arc<Shared>, births: &Births) -> bool {
    let membership = shared.server_metrics().membership_config;
    let mut changed = BTreeMap::new();
    for (id, recorded) in membership.nodes() {
        let Some(said) = births.said_by(*id).filter(|said| said.birth != 0 && !said.address.is_empty()) else {
            continue;
        };
        if recorded.birth != 0 && recorded.birth != said.birth {
            tracing::error!(member = id, "a member came back without its data: replace it by one with a new id");
        } else if *recorded != said {
            changed.insert(*id, said);
        }
    }
    if changed.is_empty() {
        return true;
    }
    match shared.core.change_membership(ChangeMembers::SetNodes(changed), true).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(%error, "the register of members is not written yet");
            false
        }
    }
}
