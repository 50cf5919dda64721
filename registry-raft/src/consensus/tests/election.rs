//! Who leads after what.

use std::time::Duration;

use super::cluster::{Cluster, TIMING, within};
use crate::consensus::ProposeError;

/// Kills the leader; gives the next one and how long that took.
async fn kill_leader(cluster: &mut Cluster) -> (u64, Duration) {
    let leader = cluster.leader().await;
    within(cluster.write(leader)).await.unwrap();
    let survivors = cluster.members.keys().copied().filter(|id| *id != leader).collect::<Vec<_>>();
    for id in &survivors {
        cluster.caught_up(*id, leader).await;
    }
    let killed_at = tokio::time::Instant::now();
    cluster.kill(leader).await;
    let next = cluster.leader_among(&survivors).await;
    (next, killed_at.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_succeeded_long_before_its_lease_ends() {
    let mut cluster = Cluster::start(3).await;
    let (next, took) = kill_leader(&mut cluster).await;
    within(cluster.write(next)).await.unwrap();
    // Nobody may lead earlier by timeouts: the lease alone lasts as long as `election_timeout_max`.
    assert!(took < TIMING.election_timeout_max, "took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_group_has_a_leader_before_any_election_timeout() {
    let mut taken = Vec::new();
    for _ in 0..9 {
        let cluster = Cluster::start(3).await;
        let complete = tokio::time::Instant::now();
        cluster.leader().await;
        taken.push(complete.elapsed());
    }
    taken.sort();
    // A vote that nobody wins is left to the timeouts, and now and then that may be.
    assert!(taken[4] < TIMING.election_timeout_min, "took {taken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_members_survive_the_death_of_two_leaders() {
    let mut cluster = Cluster::start(5).await;
    for _ in 0..2 {
        let (next, took) = kill_leader(&mut cluster).await;
        within(cluster.write(next)).await.unwrap();
        assert!(took < TIMING.election_timeout_max, "took {took:?}");
    }
    let leader = cluster.leader().await;
    for id in cluster.members.keys() {
        cluster.caught_up(*id, leader).await;
        assert_eq!(cluster.clients_of(*id), cluster.clients_of(leader));
        assert_eq!(cluster.clients_of(*id).len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolated_member_that_returns_deposes_nobody() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let isolated = (1..=3).find(|id| *id != leader).unwrap();
    cluster.caught_up(isolated, leader).await;
    let term = cluster.member(leader).status().term;

    cluster.board.isolate(isolated);
    // The isolated member stands for election, in vain: several times its election timeout pass by.
    let mut leadership = cluster.member(isolated).leadership();
    let alone =
        tokio::time::timeout(TIMING.election_timeout_max * 4, leadership.wait_for(|now| now.term != term)).await;
    assert!(alone.is_err(), "the isolated member raised the term");
    within(cluster.write(leader)).await.unwrap();
    cluster.board.rejoin(isolated);
    cluster.caught_up(isolated, leader).await;

    assert_eq!(cluster.member(leader).status().term, term);
    assert_eq!(cluster.member(isolated).status().term, term);
    assert!(cluster.member(leader).leadership().borrow().ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolated_leader_is_replaced_and_follows_when_it_returns() {
    let cluster = Cluster::start(3).await;
    let old = cluster.leader().await;
    within(cluster.write(old)).await.unwrap();
    let others = (1..=3).filter(|id| *id != old).collect::<Vec<_>>();
    cluster.board.isolate(old);
    let next = cluster.leader_among(&others).await;
    within(cluster.write(next)).await.unwrap();
    cluster.board.rejoin(old);
    within(cluster.member(old).leadership().wait_for(|now| !now.leading && now.leader.is_some())).await.unwrap();
    cluster.caught_up(old, next).await;
    assert_eq!(cluster.clients_of(old), cluster.clients_of(next));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hands_over_and_stops_is_not_missed() {
    let mut cluster = Cluster::start(3).await;
    let old = cluster.leader().await;
    within(cluster.write(old)).await.unwrap();
    within(cluster.member(old).transfer_leadership()).await.unwrap();
    cluster.stop(old).await;
    let next = cluster.leader().await;
    within(cluster.write(next)).await.unwrap();
    assert_eq!(cluster.clients_of(next).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_refused_by_a_living_leader_deposes_nobody() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let misled = (1..=3).find(|id| *id != leader).unwrap();
    cluster.caught_up(misled, leader).await;
    let term = cluster.member(leader).status().term;
    let dials = cluster.board.dials(misled, leader);

    cluster.board.refuse(misled, leader);
    // Each refused dial makes it stand for election; there are many before its election timeout has passed twice.
    let mut leadership = cluster.member(misled).leadership();
    let raised = leadership.wait_for(|now| now.term != term);
    assert!(tokio::time::timeout(TIMING.election_timeout_max * 2, raised).await.is_err(), "the term was raised");

    assert!(cluster.board.dials(misled, leader) > dials + 2, "it was not misled");
    assert!(cluster.member(leader).leadership().borrow().ready);
    within(cluster.write(leader)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_member_is_not_dialled_in_a_busy_loop() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let dead = (1..=3).find(|id| *id != leader).unwrap();
    cluster.caught_up(dead, leader).await;
    cluster.kill(dead).await;
    within(cluster.write(leader)).await.unwrap();
    let before = cluster.board.dials(leader, dead);

    let span = TIMING.election_timeout_max * 3;
    let mut leadership = cluster.member(leader).leadership();
    let deposed = tokio::time::timeout(span, leadership.wait_for(|now| !now.leading)).await;

    assert!(deposed.is_err(), "the leader was deposed");
    let dials = cluster.board.dials(leader, dead) - before;
    // One for each heartbeat, and as many again for replication and the watch over the peer.
    let bound = 2 * usize::try_from(span.as_millis() / TIMING.heartbeat.as_millis()).unwrap() + 20;
    assert!(dials < bound, "{dials} dials in {span:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hands_over_relies_on_its_lease_no_longer() {
    let cluster = Cluster::start(3).await;
    let old = cluster.leader().await;
    within(cluster.write(old)).await.unwrap();
    assert!(cluster.member(old).confirmed_until().is_some());
    // Nobody answers: leadership stays where it is for now, and so does the danger.
    for id in (1..=3).filter(|id| *id != old) {
        cluster.board.isolate(id);
    }
    let member = cluster.member(old).clone();
    let transfer = tokio::spawn(async move { member.transfer_leadership().await });
    let member = cluster.member(old);
    let refused = within(async {
        loop {
            match member.read_index().await {
                Err(refused) if member.confirmed_until().is_none() => break refused,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    assert!(matches!(refused, ProposeError::RetryLater | ProposeError::NotLeader(_)), "{refused:?}");
    assert!(within(transfer).await.unwrap().is_err());
}
