//! What the faults do, as the servers and plain connections see it. Needs Docker and the images.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::ensemble::Ensemble;
use super::gate::{Flow, Passage};
use super::software::Role;
use super::{Setup, Software, probe};
use crate::{Broken, Fault, Outcome};

/// What ZooKeeper answers through the gate of its member; an error when it does not within the patience for that.
async fn asked(ensemble: &Ensemble, member: usize) -> Outcome<String> {
    let asked = async {
        let mut stream = TcpStream::connect(ensemble.member(member)?.gate.address()).await?;
        stream.write_all(b"ruok").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(Duration::from_secs(1), asked).await?
}

async fn serves_again(ensemble: &Ensemble, member: usize) -> Outcome {
    ensemble.member(member)?.serves().await
}

async fn stops_serving(ensemble: &Ensemble, member: usize) -> Outcome {
    probe::until("a member stops serving", || async {
        match ensemble.member(member)?.role().await {
            Ok(role) => Err(Broken::harness(format!("{role:?}"))),
            Err(_no_role) => Ok(()),
        }
    })
    .await
}

/// A member other than the leader is isolated, returns, is killed and comes back; then the leader dies.
async fn members_come_and_go(software: Software) -> Outcome {
    let ensemble = Ensemble::launch(&Setup::of(software), 3).await?;
    let leader = ensemble.leader().await?;
    let other = (leader + 1) % 3;
    ensemble.inject(Fault::Isolate(other)).await?;
    stops_serving(&ensemble, other).await?;
    assert_eq!(ensemble.leader().await?, leader, "the leader while a follower is isolated");
    ensemble.inject(Fault::Heal).await?;
    serves_again(&ensemble, other).await?;
    ensemble.inject(Fault::Pause(other)).await?;
    stops_serving(&ensemble, other).await?;
    ensemble.inject(Fault::Resume(other)).await?;
    serves_again(&ensemble, other).await?;
    ensemble.inject(Fault::Kill(leader)).await?;
    assert_ne!(ensemble.leader().await?, leader, "the leader after the death of the leader");
    ensemble.inject(Fault::Start(leader)).await?;
    ensemble.inject(Fault::RestartAll).await?;
    assert!(ensemble.disk_usage().await? > 0, "nothing is on the disk");
    let leader = ensemble.leader().await?;
    if software == Software::Etcd {
        ensemble.inject(Fault::ChangeLeader).await?;
        assert_ne!(ensemble.leader().await?, leader, "the leader after its change");
    }
    ensemble.inject(Fault::Kill(0)).await?;
    ensemble.inject(Fault::Isolate(1)).await?;
    ensemble.inject(Fault::Pause(2)).await?;
    ensemble.heal().await?;
    for member in 0..3 {
        ensemble.member(member)?.role().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn zookeeper_members_come_and_go() -> Outcome {
    members_come_and_go(Software::ZooKeeper).await
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_members_come_and_go() -> Outcome {
    members_come_and_go(Software::Etcd).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_holds_back_delays_and_refuses() -> Outcome {
    let ensemble = Ensemble::launch(&Setup::of(Software::ZooKeeper), 1).await?;
    assert!(matches!(ensemble.member(0)?.role().await?, Role::Leads), "the only member");
    assert_eq!(asked(&ensemble, 0).await?, "imok", "through an open gate");
    let gate = &ensemble.member(0)?.gate;
    for held in [
        Passage { to_server: Flow::Held, ..Passage::OPEN },
        Passage { to_client: Flow::Held, ..Passage::OPEN },
        Passage { delay: Duration::from_secs(5), ..Passage::OPEN },
    ] {
        gate.set(held);
        assert!(asked(&ensemble, 0).await.is_err(), "answered in spite of {held:?}");
        gate.set(Passage::OPEN);
        assert_eq!(asked(&ensemble, 0).await?, "imok", "through a gate that is open again after {held:?}");
    }
    let mut connection = TcpStream::connect(gate.address()).await?;
    connection.write_all(b"").await?;
    gate.shut().await;
    let ended = tokio::time::timeout(Duration::from_secs(5), connection.read(&mut [0])).await?;
    assert!(!matches!(ended, Ok(1..)), "a connection that the shut gate ends");
    assert!(TcpStream::connect(gate.address()).await.is_err(), "a shut gate accepts");
    gate.open().await?;
    assert_eq!(asked(&ensemble, 0).await?, "imok", "through a gate that was opened again");
    Ok(())
}
