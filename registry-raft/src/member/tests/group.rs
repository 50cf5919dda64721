//! Three members of one process: who is said to lead, and how one leaves.

use conformance_tests::free_port;

use super::*;
use crate::boundary::LeaderView;

/// Three members that know each other.
async fn three() -> Vec<Member> {
    let members: BTreeMap<u64, String> =
        (1..=3).map(|node| (node, format!("127.0.0.1:{}", free_port().unwrap()))).collect();
    let started = members.iter().map(|(&node, listen)| {
        Member::start(MemberSettings { node, listen: listen.clone(), members: members.clone(), ..alone() })
    });
    futures::future::join_all(started).await.into_iter().map(Result::unwrap).collect()
}

/// Waits until this member names a leader that `accept` takes, or none if it takes that.
async fn sees(member: &Member, accept: impl Fn(Option<&LeaderView>) -> bool) -> Option<LeaderView> {
    let mut view = member.boundary().view();
    let seen = view.wait_for(|view| accept(view.leader.as_ref()));
    timeout(PATIENCE, seen).await.expect("in time").expect("a member that lives").leader.clone()
}

async fn leader_of(members: &[Member]) -> u64 {
    let leader = sees(&members[0], |leader| leader.is_some()).await.unwrap();
    for member in members {
        sees(member, |seen| seen.is_some_and(|seen| seen.id == leader.id)).await;
    }
    leader.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over_and_the_others_go_on() {
    let mut members = three().await;
    let first = leader_of(&members).await;
    let place = members.iter().position(|member| member.node == first).unwrap();
    let leaving = members.remove(place);
    let registry = registry(&members[0], Some(members[0].local()));
    registry.put(&key("/a"), Bytes::new(), PutOptions::default()).await.unwrap();
    timeout(PATIENCE, leaving.shutdown()).await.unwrap();
    for member in &members {
        sees(member, |leader| leader.is_some_and(|leader| leader.id != first)).await;
    }
    registry.put(&key("/a"), Bytes::new(), PutOptions::default()).await.unwrap();
    futures::future::join_all(members.iter().map(Member::shutdown)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_quorum_names_no_leader_and_is_not_ready() {
    for keep_the_leader in [true, false] {
        let mut members = three().await;
        let leader = leader_of(&members).await;
        let left = members.iter().position(|member| (member.node == leader) == keep_the_leader).unwrap();
        let left = members.remove(left);
        drop(members);
        sees(&left, |leader| leader.is_none()).await;
        let ready = get(&left, "/ready").await;
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("no leader"), "{ready}");
        assert!(get(&left, "/health").await.starts_with("HTTP/1.1 200"));
        left.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_answers_linearizable_reads_and_tells_of_changes() {
    let members = three().await;
    leader_of(&members).await;
    let registries: Vec<_> = members.iter().map(|member| registry(member, Some(member.local()))).collect();
    let mut subscriptions = Vec::new();
    for registry in &registries {
        let mut subscription = registry.subscribe(&Scope::All, SubscribeFrom::Snapshot).await.unwrap();
        next(&mut subscription).await;
        subscriptions.push(subscription);
    }
    for number in 0..30_usize {
        let value = Bytes::from(number.to_string());
        let writer = &registries[number % 3];
        let revision = writer.put(&key("/a"), value.clone(), PutOptions::default()).await.unwrap();
        for registry in &registries {
            let seen = registry.get(&key("/a"), ReadLevel::Linearizable).await.unwrap();
            assert_eq!(seen.entry.unwrap().value, value);
        }
        for subscription in &mut subscriptions {
            assert_eq!(next(subscription).await.revision(), revision);
        }
    }
    futures::future::join_all(members.iter().map(Member::shutdown)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_snapshot_holds_what_was_acknowledged_to_others_before() {
    let members = three().await;
    leader_of(&members).await;
    let registries: Vec<_> = members.iter().map(|member| registry(member, Some(member.local()))).collect();
    for number in 0..60_usize {
        let writer = &registries[number % 3];
        let revision = writer.put(&key("/a"), Bytes::new(), PutOptions::default()).await.unwrap();
        for registry in &registries {
            let mut subscription = registry.subscribe(&Scope::All, SubscribeFrom::Snapshot).await.unwrap();
            let snapshot = next(&mut subscription).await;
            assert!(
                snapshot.revision() >= revision,
                "{} was acknowledged, the snapshot is of {}",
                revision,
                snapshot.revision()
            );
        }
    }
    futures::future::join_all(members.iter().map(Member::shutdown)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_stopped_lets_go_of_its_port_and_its_data_although_it_is_still_held() {
    let data = tempfile::tempdir().unwrap();
    let place = DataPlace::Directory(data.path().join("member"));
    let first = Member::start(MemberSettings { data: place.clone(), ..alone() }).await.unwrap();
    let address = first.address().to_string();
    let writer = registry(&first, None);
    writer.put(&key("/a"), Bytes::from_static(b"kept"), PutOptions::default()).await.unwrap();
    first.shutdown().await;
    let members = BTreeMap::from([(1, address.clone())]);
    let again = MemberSettings { data: place, listen: address, members, ..alone() };
    let second = Member::start(again).await.unwrap();
    let seen = registry(&second, None).get(&key("/a"), ReadLevel::Linearizable).await.unwrap();
    assert_eq!(seen.entry.unwrap().value, "kept");
    second.shutdown().await;
    drop(first);
}
