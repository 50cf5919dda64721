//! The leading master of a registry that is a service of its own: elected, and succeeded.

use scheduler::name::Name;
use scheduler::overview::LeaderView;

use crate::bench::{Bench, Process};

/// Waits until another than `former` leads, and everybody is told the same.
async fn leader_after(bench: &Bench, former: Option<&Name>) -> LeaderView {
    bench
        .eventually("a master leads", async |reader| {
            let leader = reader.leader().await.unwrap().filter(|leader| leader.master.as_ref() != former)?;
            let members = reader.members().await.unwrap();
            let leading: Vec<_> = members.iter().filter(|member| member.leader).map(|member| &member.name).collect();
            (leading == Vec::from_iter(&leader.master)).then_some(leader)
        })
        .await
}

fn take(masters: &mut Vec<Process>, name: &Name) -> Process {
    let place = masters.iter().position(|master| master.connected.name == *name).unwrap();
    masters.remove(place)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_leader_is_followed_by_another_with_a_larger_term() {
    let bench = Bench::new();
    let mut masters = vec![bench.master("m1"), bench.master("m2"), bench.master("m3")];
    bench.slots(3).await;
    let first = leader_after(&bench, None).await;
    let name = first.master.clone().unwrap();
    assert_eq!((first.node, first.address, first.pid), (None, None, Some(std::process::id())));

    take(&mut masters, &name).kill();

    let second = leader_after(&bench, Some(&name)).await;
    assert!(second.term > first.term, "{} after {}", second.term, first.term);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_stopped_has_resigned_when_it_is_gone() {
    let bench = Bench::new();
    let mut masters = vec![bench.master("m1"), bench.master("m2")];
    bench.slots(2).await;
    let first = leader_after(&bench, None).await.master.unwrap();

    take(&mut masters, &first).stop().await.unwrap();

    let record = bench.observer.client.get(&scheduler::state::keys::leader()).await.unwrap();
    let record = record.and_then(|entry| registry_api::Leader::decode(&entry.value));
    assert_ne!(record.map(|record| record.candidate), Some(first.as_str().to_owned().into()));
    leader_after(&bench, Some(&first)).await;
}
