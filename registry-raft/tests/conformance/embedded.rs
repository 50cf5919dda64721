//! Members inside this process, on real sockets and durable directories; every client is one of a member's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use conformance_tests::{Broken, Cluster, Fault, Harness, Outcome, Timing, free_port};
use futures::future;
use registry_api::Registry;
use registry_raft::{MemberAddress, RaftRegistry, RaftSettings};
use tempfile::TempDir;

/// A group of members in this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Embedded {
    name: &'static str,
    members: usize,
    expected: &'static str,
}

impl Embedded {
    pub(crate) const ONE: Self = Self { name: "raft-one", members: 1, expected: include_str!("expected/raft-one.txt") };
    pub(crate) const THREE: Self =
        Self { name: "raft-three", members: 3, expected: include_str!("expected/raft-three.txt") };
}

#[async_trait]
impl Harness for Embedded {
    fn name(&self) -> &'static str {
        self.name
    }

    fn timing(&self) -> Timing {
        crate::timing()
    }

    fn members(&self) -> usize {
        self.members
    }

    /// None: the clients of a member that stops in this process keep its data directory open as long as they live, so it
    /// cannot come back beside them. Members that are processes of their own show what restarts keep.
    fn faults(&self) -> &'static [Fault] {
        &[]
    }

    fn expected(&self) -> &'static str {
        self.expected
    }

    fn capabilities(&self) -> &'static str {
        include_str!("../../../docs/capabilities/raft.json")
    }

    async fn start(&self) -> Outcome<Arc<dyn Cluster>> {
        Ok(Arc::new(Group::start(self.members).await?))
    }
}

struct Group {
    members: Vec<Arc<RaftRegistry>>,
    connected: AtomicUsize,
    _data: TempDir,
}

impl Group {
    async fn start(count: usize) -> Outcome<Self> {
        let data = TempDir::new()?;
        let addresses = free_addresses(count)?;
        let settings = addresses.iter().map(|member| RaftSettings {
            node: member.id,
            listen: member.address.clone(),
            members: addresses.clone(),
            data_dir: Some(data.path().join(member.id.to_string())),
            ..RaftSettings::default()
        });
        let members = future::try_join_all(settings.map(RaftRegistry::connect)).await?;
        let members = members.into_iter().map(Arc::new).collect();
        Ok(Self { members, connected: AtomicUsize::new(0), _data: data })
    }

    fn member(&self, number: usize) -> Outcome<&RaftRegistry> {
        self.members.get(number).map(Arc::as_ref).ok_or_else(|| Broken::harness(format!("there is no member {number}")))
    }
}

#[async_trait]
impl Cluster for Group {
    async fn connect(&self) -> Outcome<Arc<dyn Registry>> {
        let turn = self.connected.fetch_add(1, Ordering::Relaxed);
        self.connect_to(turn % self.members.len().max(1)).await
    }

    async fn connect_to(&self, member: usize) -> Outcome<Arc<dyn Registry>> {
        let client = self.member(member)?.another_client("conformance");
        Ok(Arc::new(client.ok_or_else(|| Broken::harness("a member must give clients"))?))
    }

    async fn inject(&self, fault: Fault) -> Outcome {
        Err(Broken::harness(format!("members in this process: cannot {fault}")))
    }

    async fn leader(&self) -> Outcome<usize> {
        let mut leaders = self.member(0)?.leaders();
        loop {
            match leaders.next().await {
                Some(Some(leader)) => return Ok(usize::try_from(leader.id)?.saturating_sub(1)),
                Some(None) => {}
                None => return Err(Broken::harness("the member has ended")),
            }
        }
    }

    async fn disk_usage(&self) -> Outcome<Option<u64>> {
        Ok(None)
    }
}

/// Addresses of loopback that nobody listens on at the moment.
pub(crate) fn free_addresses(count: usize) -> Outcome<Vec<MemberAddress>> {
    let mut addresses = Vec::new();
    for id in (1..).take(count) {
        addresses.push(MemberAddress::new(id, format!("127.0.0.1:{}", free_port()?)));
    }
    Ok(addresses)
}
