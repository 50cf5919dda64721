//! Proposals, their order, and confirmed reads.

use super::cluster::{Cluster, TIMING, within};
use crate::consensus::ProposeError;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_alone_serves() {
    let cluster = Cluster::start(1).await;
    let leader = cluster.leader().await;
    let client = within(cluster.write(leader)).await.unwrap();
    assert_eq!(cluster.clients_of(1), [client]);
    assert!(cluster.member(1).confirmed_until().is_some());
    within(cluster.member(1).read_index()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_elect_one_and_apply_the_same() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    for _ in 0..50 {
        within(cluster.write(leader)).await.unwrap();
    }
    for id in 1..=3 {
        cluster.caught_up(id, leader).await;
        assert_eq!(cluster.clients_of(id), cluster.clients_of(leader));
        assert_eq!(cluster.clients_of(id).len(), 50);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submitted_batches_are_in_the_log_in_their_order() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let mut pending = Vec::new();
    for _ in 0..500 {
        pending.push(within(cluster.member(leader).submit(cluster.batch())).await.unwrap());
    }
    let mut ids = Vec::new();
    for proposal in pending {
        let outcomes = within(proposal.outcomes()).await.unwrap();
        match outcomes[0].outcome {
            Some(crate::proto::outcome::Outcome::Client(id)) => ids.push(id),
            ref other => panic!("unexpected outcome {other:?}"),
        }
    }
    assert!(ids.is_sorted(), "outcomes out of order: {ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_refuses_proposals_and_names_the_leader() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    cluster.caught_up(follower, leader).await;
    let refused = within(cluster.write(follower)).await.unwrap_err();
    let ProposeError::NotLeader(Some(hint)) = refused else { panic!("unexpected answer {refused:?}") };
    assert_eq!((hint.id, hint.address), (leader, cluster.addresses[&leader].clone()));
    assert!(matches!(within(cluster.member(follower).read_index()).await, Err(ProposeError::NotLeader(_))));
    assert_eq!(cluster.member(follower).confirmed_until(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_quorum_stops_serving_within_its_lease() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    within(cluster.write(leader)).await.unwrap();
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.board.isolate(id);
    }
    let cut_at = tokio::time::Instant::now();
    // The bound of the test is generous: a loaded machine may stop this process for a while.
    let bound = TIMING.election_timeout_max * 2;
    let member = cluster.member(leader);
    loop {
        let written = tokio::time::timeout(TIMING.heartbeat, cluster.write(leader)).await;
        assert!(!matches!(written, Ok(Ok(_))) || cut_at.elapsed() < TIMING.heartbeat, "acknowledged without a quorum");
        if matches!(written, Ok(Err(ProposeError::RetryLater | ProposeError::NotLeader(_)))) {
            break;
        }
        assert!(cut_at.elapsed() < bound, "still takes proposals");
    }
    let until = member.confirmed_until();
    assert!(until.is_none_or(|until| until <= cut_at + TIMING.election_timeout_max));
    assert!(within(member.read_index()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_unknown_stops_the_member_with_a_reason() {
    use prost::Message;
    let cluster = Cluster::start(1).await;
    let leader = cluster.leader().await;
    within(cluster.write(leader)).await.unwrap();
    let unknown =
        crate::proto::Proposal { command: Some(crate::proto::Command { command: None }), ..Default::default() };
    let batch = crate::proto::Batch { proposals: vec![unknown] }.encode_to_vec();

    let answer = within(cluster.member(leader).propose(batch.into())).await;

    assert!(matches!(answer, Err(ProposeError::Unknown(_))), "{answer:?}");
    let reason = within(cluster.member(leader).fatal()).await;
    assert!(reason.contains("does not know"), "{reason}");
    let mut leadership = cluster.member(leader).leadership();
    within(leadership.wait_for(|now| now.fatal.is_some() && !now.leading)).await.unwrap();
    assert_eq!(cluster.member(leader).confirmed_until(), None);
    assert!(within(cluster.write(leader)).await.is_err());
}

/// Openraft before 0.10.0-alpha.25 could advance the commit index without a quorum with five voters (its issue 1802).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_five_voters_two_acknowledge_nothing_and_three_do() {
    let cluster = Cluster::start(5).await;
    let leader = cluster.leader().await;
    let others = (1..=5).filter(|id| *id != leader).collect::<Vec<_>>();
    for id in &others {
        cluster.caught_up(*id, leader).await;
    }
    cluster.board.isolate(others[0]);
    cluster.board.isolate(others[1]);
    within(cluster.write(leader)).await.unwrap();
    let acknowledged = cluster.clients_of(leader);

    cluster.board.isolate(others[2]);
    // In the log of two of five, while the lease still admits proposals.
    let stuck = within(cluster.member(leader).submit(cluster.batch())).await.unwrap();
    let answer = tokio::time::timeout(TIMING.election_timeout_max * 2, stuck.outcomes()).await;

    assert!(!matches!(answer, Ok(Ok(_))), "acknowledged by two of five: {answer:?}");
    assert_eq!(cluster.clients_of(leader), acknowledged);
    cluster.board.rejoin(others[0]);
    let next = cluster.confirmed_leader(&[leader, others[0], others[3]]).await;
    cluster.caught_up(others[0], next).await;
    assert_eq!(cluster.clients_of(next)[..acknowledged.len()], acknowledged);
}
