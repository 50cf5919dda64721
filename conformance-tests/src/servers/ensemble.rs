//! The members that serve together, and what can be done to them.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future;

use super::docker;
use super::gate::Passage;
use super::member::Member;
use super::probe;
use super::release::Release;
use super::setup::Setup;
use super::software::{Role, Software};
use crate::{Broken, Fault, Outcome};

/// A running ensemble. Its containers are removed when it is dropped.
#[derive(Debug)]
pub(super) struct Ensemble {
    software: Software,
    members: Vec<Member>,
    connected: AtomicUsize,
}

impl Ensemble {
    /// Starts a fresh one, and returns when every member serves.
    pub(super) async fn launch(setup: &Setup, size: usize) -> Outcome<Self> {
        let software = setup.software();
        let (image, tag) = software.image()?;
        if docker::docker().await?.inspect_image(&format!("{image}:{tag}")).await.is_err() {
            let release = Release::chosen()?.name();
            let text = format!("there is no image {image}:{tag}: `cargo xtask images --release {release}` builds it");
            return Err(Broken::harness(text));
        }
        let network = docker::fresh_name();
        let names: Vec<_> = (1..=size).map(|number| format!("{network}-{number}")).collect();
        let members = (0..size).map(|number| Member::launch(setup, &network, &names, number));
        let members = future::try_join_all(members).await?;
        let ensemble = Self { software, members, connected: AtomicUsize::new(0) };
        ensemble.all_serve().await?;
        Ok(ensemble)
    }

    async fn all_serve(&self) -> Outcome {
        future::try_join_all(self.members.iter().map(Member::serves)).await?;
        self.leader().await.map(drop)
    }

    /// Undoes every fault.
    pub(super) async fn heal(&self) -> Outcome {
        future::try_join_all(self.members.iter().map(|member| async {
            member.resume().await?;
            if !member.runs() {
                member.start().await?;
            }
            member.gate.open().await
        }))
        .await?;
        if self.members.len() > 1 {
            self.find_routes().await?;
        }
        self.all_serve().await
    }

    /// The addresses of all gates; every call begins with another.
    pub(super) fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<_> = self.members.iter().map(|member| member.gate.address()).collect();
        let turn = self.connected.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
        addresses.rotate_left(turn);
        addresses
    }

    pub(super) fn member(&self, number: usize) -> Outcome<&Member> {
        self.members.get(number).ok_or_else(|| Broken::harness(format!("there is no member {number}")))
    }

    /// Waits until one member leads.
    pub(super) async fn leader(&self) -> Outcome<usize> {
        probe::until("one member leads", || async {
            for (number, member) in self.members.iter().enumerate() {
                if member.runs() && matches!(member.role().await, Ok(Role::Leads)) {
                    return Ok(number);
                }
            }
            Err(Broken::harness("none leads"))
        })
        .await
    }

    pub(super) async fn disk_usage(&self) -> Outcome<u64> {
        Ok(future::try_join_all(self.members.iter().map(Member::disk_usage)).await?.iter().sum())
    }

    pub(super) async fn inject(&self, fault: Fault) -> Outcome {
        match fault {
            Fault::Kill(member) => self.member(member)?.kill().await,
            Fault::Start(member) => self.start(self.member(member)?).await,
            Fault::Restart(member) => {
                let member = self.member(member)?;
                member.stop().await?;
                self.start(member).await
            }
            Fault::RestartAll => {
                future::try_join_all(self.members.iter().map(Member::kill)).await?;
                future::try_join_all(self.members.iter().map(Member::start)).await?;
                self.all_serve().await
            }
            Fault::Pause(member) => self.member(member)?.pause().await,
            Fault::Resume(member) => self.member(member)?.resume().await,
            Fault::Isolate(member) => self.isolate(member).await,
            Fault::Heal => self.find_routes().await,
            Fault::ChangeLeader => self.change_leader().await,
            Fault::CutClients(member) => {
                self.member(member)?.gate.shut().await;
                Ok(())
            }
            Fault::ResetClients(member) => {
                self.member(member)?.gate.reset();
                Ok(())
            }
            Fault::HoldClients(member) => self.let_pass(member, Passage::HELD),
            Fault::HoldAnswers(member) => self.let_pass(member, Passage::ANSWERS_HELD),
            Fault::DelayClients(member) => self.let_pass(member, Passage::SLOW),
            Fault::MendClients => {
                let running = self.members.iter().filter(|member| member.runs());
                future::try_join_all(running.map(|member| member.gate.open())).await.map(drop)
            }
            Fault::Compact => self.software.compact(self.member(self.leader().await?)?.address()).await,
            other => Err(Broken::harness(format!("servers in containers: cannot {other}"))),
        }
    }

    fn let_pass(&self, member: usize, passage: Passage) -> Outcome {
        self.member(member)?.gate.set(passage);
        Ok(())
    }

    /// Starts a member that is down, and returns when it serves; without a majority it cannot, and none is waited for.
    async fn start(&self, member: &Member) -> Outcome {
        member.start().await?;
        let running = self.members.iter().filter(|member| member.runs()).count();
        if running > self.members.len() / 2 { member.serves().await } else { Ok(()) }
    }

    async fn isolate(&self, number: usize) -> Outcome {
        let isolated = self.member(number)?;
        for (other, peer) in self.members.iter().enumerate() {
            if other != number
                && let Some(address) = peer.peer_address().await?
            {
                isolated.lose_route_to(&address).await?;
            }
        }
        Ok(())
    }

    async fn find_routes(&self) -> Outcome {
        let running = self.members.iter().filter(|member| member.runs());
        future::try_join_all(running.map(Member::find_routes)).await.map(drop)
    }

    async fn change_leader(&self) -> Outcome {
        let leader = self.leader().await?;
        let next = self.member((leader + 1) % self.members.len())?;
        self.software.transfer_leadership(self.member(leader)?.address(), next.address()).await?;
        probe::until("another member leads", || async {
            match self.leader().await? {
                same if same == leader => Err(Broken::harness(format!("member {same} still leads"))),
                _another => Ok(()),
            }
        })
        .await
    }
}
