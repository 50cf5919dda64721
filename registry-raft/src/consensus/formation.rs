//! How a group is formed, and how a member that lost its data is kept from taking part as if it had none to lose.
//!
//! A member without a past asks the configured others first. Nothing is decided before a majority of the configured
//! members, itself included, has been heard; the others are waited for a while longer.
//!
//! - Nobody has a past: every member initialises itself with the same configured membership. Raft allows that, because
//!   the first entry is the same everywhere.
//! - Somebody has one: this member is new to the group, takes part, and the leader sends it everything.
//! - Somebody knows this member under another birth number: it voted and acknowledged with data that is gone, and might
//!   contradict itself. It refuses to start; a member with a new id takes its place.
//!
//! Birth numbers are drawn when a data directory is made. The leader records those of all members in the membership.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::dial::Purpose;
use super::shared::Shared;
use super::types::Member;
use crate::proto;

/// Decides whether this member takes part, and forms the group with the others if there is none.
pub(crate) async fn take_part(shared: Arc<Shared>, members: BTreeMap<u64, String>) {
    match shared.core.is_initialized().await {
        Ok(true) => {
            shared.admitted.send_replace(true);
        }
        Ok(false) => match inquire_all(&shared, &members).await {
            Past::None => initialize(&shared, members).await,
            Past::OfOthers => {
                shared.admitted.send_replace(true);
            }
            Past::Own { peer } => shared.fail(lost_data(shared.identity.node, peer)),
        },
        Err(error) => shared.fail(error.to_string()),
    }
}

/// The line that an operator reads when the data of a member is gone.
pub(crate) fn lost_data(node: u64, peer: u64) -> String {
    format!(
        "member {peer} knows member {node} with other data than is found here: the data directory was lost, emptied or \
         exchanged; member {node} must not vote again, replace it by a new member with a new id"
    )
}

/// What the others say.
enum Past {
    /// Nobody has one.
    None,
    /// The group has one, in which this member had no part.
    OfOthers,
    /// The group has one, and `peer` knows that this member had a part in it.
    Own { peer: u64 },
}

async fn inquire_all(shared: &Arc<Shared>, members: &BTreeMap<u64, String>) -> Past {
    let majority = members.len() / 2 + 1;
    let grace_ends = Instant::now() + shared.timing.formation_grace;
    let mut heard = BTreeMap::new();
    let mut pauses = super::replication::backoff(shared.timing.redial_min, shared.timing.redial_max);
    loop {
        let others = members.keys().filter(|id| **id != shared.identity.node && !heard.contains_key(*id));
        let mut answers = others.map(|id| inquire(shared, *id)).collect::<FuturesUnordered<_>>();
        while let Some((id, answer)) = answers.next().await {
            if let Some(answer) = answer {
                if answer.known_birth != 0 && answer.known_birth != shared.birth {
                    return Past::Own { peer: id };
                }
                heard.insert(id, answer.formed);
            }
        }
        let count = heard.len().saturating_add(1);
        if count == members.len() || (count >= majority && Instant::now() >= grace_ends) {
            return if heard.values().any(|formed| *formed) { Past::OfOthers } else { Past::None };
        }
        tracing::debug!(member = shared.identity.node, heard = count, of = members.len(), "waiting for the others");
        tokio::time::sleep(pauses.next().unwrap_or(shared.timing.redial_max)).await;
    }
}

async fn inquire(shared: &Arc<Shared>, id: u64) -> (u64, Option<proto::InquireResponse>) {
    let mut peer = shared.connector.peer(id, Purpose::Replication);
    let call = tokio::time::timeout(shared.timing.answer_timeout, peer.inquire(proto::InquireRequest {}));
    (id, call.await.ok().and_then(Result::ok).map(tonic::Response::into_inner))
}

/// Writes the first entry and stands for election, the lowest id first.
async fn initialize(shared: &Arc<Shared>, members: BTreeMap<u64, String>) {
    let in_turn: Vec<u64> = members.keys().copied().collect();
    let nodes = members
        .into_iter()
        .map(|(id, address)| {
            let birth = 0;
            (id, Member { address, birth })
        })
        .collect::<BTreeMap<_, _>>();
    if let Err(error) = shared.core.initialize(nodes).await {
        // A leader that was elected meanwhile has sent the first entry already.
        tracing::info!(%error, "the group was formed by the others");
    }
    shared.admitted.send_replace(true);
    // Writing the first entry is standing for election, and members that do it at the same moment split the vote. From
    // here on they take turns; the ordinary election timeout takes over where members are not there yet.
    let (mut wait, mut seen) = (shared.timing.succession_settle, None);
    for whose in in_turn.iter().cycle().take(ROUNDS * in_turn.len()) {
        tokio::time::sleep(wait).await;
        wait = shared.timing.succession_stagger;
        let vote = shared.server_metrics().vote;
        if vote.committed && vote.leader_id.term > 0 {
            return;
        }
        // A vote that has changed since the turn before is that of an election under way.
        let under_way = seen.replace(vote).is_some_and(|seen| seen != vote);
        if *whose == shared.identity.node && !under_way && shared.core.trigger().elect(true).await.is_err() {
            return;
        }
    }
}

/// How often it is each member's turn before a new group is left to the election timeout.
const ROUNDS: usize = 5;
