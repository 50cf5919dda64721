//! The failure detector: a leader whose process is gone is succeeded at once, not after its lease.
//!
//! Every member keeps a stream open to every other one. When it breaks, the member dials again. Only a *refused*
//! connection says that the process is gone: the host answers, and nobody listens. Silence says nothing; it is left to
//! the ordinary election timeout.
//!
//! Each survivor that finds the leader gone gives up the leader's lease for itself alone, then stands for election in
//! its turn, with a pre-vote. Only survivors that have given up the lease as well grant it, so that a single member
//! with a broken view of the network (a firewall that answers with resets) can depose nobody, and the rules of voting
//! are those of every other election.
//!
//! ```text
//!   leader dies -> streams break -> dial refused -> lease given up    (each survivor for itself)
//!                                                -> settle + rank * stagger -> pre-vote -> vote -> new leader
//! ```

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use metrics::counter;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::TransferLeaderRequest;

use super::dial::Peer;
use super::formation::lost_data;
use super::registrar::Births;
use super::replication::backoff;
use super::shared::{Listening, Shared};
use crate::proto;

/// Watches one peer for as long as the member lives.
pub(crate) async fn watch_peer(shared: Arc<Shared>, births: Arc<Births>, id: u64) {
    let mut pauses = backoff(shared.timing.redial_min, shared.timing.redial_max);
    loop {
        match attend(&shared, &births, id).await {
            Parted::Lost => {
                // Dialled again at once: what the dial finds is what the loss means.
                pauses = backoff(shared.timing.redial_min, shared.timing.redial_max);
                continue;
            }
            Parted::Gone => succeed(&shared, id).await,
            Parted::Unreachable => {}
        }
        tokio::time::sleep(pauses.next().unwrap_or(shared.timing.redial_max)).await;
    }
}

/// How an attempt to attend to a peer ended.
enum Parted {
    /// There was a stream, and it broke.
    Lost,
    /// Nobody listens at the peer's address.
    Gone,
    /// No connection, for a reason that says nothing about the peer.
    Unreachable,
}

async fn attend(shared: &Arc<Shared>, births: &Births, id: u64) -> Parted {
    let peer = match shared.connector.connect(id).await {
        Ok(peer) => peer,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            shared.note_gone(id, Listening::Nobody);
            return Parted::Gone;
        }
        Err(error) => {
            tracing::debug!(member = shared.identity.node, peer = id, %error, "a peer is not reached");
            return Parted::Unreachable;
        }
    };
    shared.note_gone(id, Listening::Somebody);
    match listen(shared, births, peer, id).await {
        Some(()) => Parted::Lost,
        None => Parted::Unreachable,
    }
}

/// Listens until the stream ends; `None` if there never was one.
async fn listen(shared: &Arc<Shared>, births: &Births, mut peer: Peer, id: u64) -> Option<()> {
    let call = tokio::time::timeout(shared.timing.answer_timeout, peer.attend(proto::AttendRequest {}));
    let mut notices = match call.await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => {
            tracing::debug!(member = shared.identity.node, peer = id, message = status.message(), "a peer refuses");
            return None;
        }
        Err(_) => return None,
    };
    let mut heard = None;
    while let Ok(Some(notice)) = notices.message().await {
        heard = Some(());
        if notice.known_birth != 0 && notice.known_birth != shared.birth {
            shared.fail(lost_data(shared.identity.node, id));
        }
        births.note(id, notice.birth, notice.address);
        if notice.leaving {
            tracing::info!(member = shared.identity.node, peer = id, "a peer leaves");
        }
    }
    heard
}

/// If the peer led: gives up its lease, and stands for election when it is this member's turn.
async fn succeed(shared: &Arc<Shared>, gone: u64) {
    let metrics = shared.server_metrics();
    let vote = metrics.vote;
    if !vote.committed || vote.leader_id.voted_for != gone {
        return;
    }
    counter!("registry_raft_leader_gone_total").increment(1);
    // Named as the successor is the member that is gone: everybody else gives up the lease and does nothing more.
    let release = TransferLeaderRequest::new(vote, gone, None);
    if shared.core.handle_transfer_leader(release).await.is_err() {
        return;
    }
    let mut survivors = metrics.membership_config.voter_ids().filter(|id| *id != gone && !shared.is_gone(*id));
    let Some(rank) = survivors.position(|id| id == shared.identity.node) else {
        return;
    };
    tracing::info!(member = shared.identity.node, leader = gone, rank, "the leader's process is gone");
    let turn = shared.timing.succession_stagger * u32::try_from(rank).unwrap_or(u32::MAX);
    tokio::time::sleep(shared.timing.succession_settle + turn).await;
    if shared.server_metrics().vote == vote {
        // A failure means that the core has stopped, which is reported elsewhere.
        drop(shared.core.trigger().elect(true).await);
    }
}

/// Starts a watch over every member that the group has, now and later.
pub(crate) async fn watch_peers(shared: Arc<Shared>, births: Arc<Births>, configured: Vec<u64>) {
    let mut metrics = shared.core.server_metrics();
    let mut watched = BTreeSet::new();
    loop {
        let members = metrics.borrow_watched().membership_config.clone();
        for (id, member) in members.nodes() {
            shared.connector.book().learn(*id, &member.address);
        }
        let ids = members.nodes().map(|(id, _)| *id).chain(configured.iter().copied());
        for id in ids.filter(|id| *id != shared.identity.node) {
            if watched.insert(id) {
                shared.spawn(watch_peer(shared.clone(), births.clone(), id));
            }
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
