//! Who leads after what.

use std::time::Duration;

use super::cluster::{Cluster, TIMING, within};

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
async fn leadership_is_handed_over_on_request() {
    let cluster = Cluster::start(3).await;
    let old = cluster.leader().await;
    within(cluster.write(old)).await.unwrap();
    within(cluster.member(old).transfer_leadership()).await.unwrap();
    let others = (1..=3).filter(|id| *id != old).collect::<Vec<_>>();
    let next = cluster.leader_among(&others).await;
    within(cluster.write(next)).await.unwrap();
    assert_eq!(cluster.clients_of(next).len(), 2);
}
