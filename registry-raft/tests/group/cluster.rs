//! A group of members, each a process of its own that can be killed.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use conformance_tests::free_port;
use registry_api::{Event, Key, Subscription};
use registry_raft::{MemberAddress, RaftRegistry, RaftSettings, Role, TimingProfile};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longer than anything takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const NODE: &str = "REGISTRY_TEST_RAFT_NODE";
const MEMBERS: &str = "REGISTRY_TEST_RAFT_MEMBERS";
const DATA: &str = "REGISTRY_TEST_RAFT_DATA";

/// The processes of a group; they are killed with it.
pub(crate) struct Cluster {
    data: TempDir,
    pub(crate) members: Vec<MemberAddress>,
    processes: Vec<Option<Child>>,
}

impl Cluster {
    pub(crate) fn start(count: u64) -> Self {
        let members = free_addresses(count);
        let mut cluster = Self { data: TempDir::new().unwrap(), processes: Vec::new(), members };
        for id in 1..=count {
            cluster.processes.push(None);
            cluster.run(id);
        }
        cluster
    }

    /// Starts a member, or starts it again on its data.
    pub(crate) fn run(&mut self, id: u64) {
        let members: Vec<_> = self.members.iter().map(ToString::to_string).collect();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["cluster::member_process", "--exact", "--ignored", "--nocapture"])
            .env(NODE, id.to_string())
            .env(MEMBERS, members.join(","))
            .env(DATA, self.data.path().join(id.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.processes[usize::try_from(id).unwrap() - 1] = Some(child);
    }

    /// kill -9
    pub(crate) async fn kill(&mut self, id: u64) {
        let mut process = self.processes[usize::try_from(id).unwrap() - 1].take().unwrap();
        process.kill().await.unwrap();
    }

    pub(crate) async fn client(&self) -> RaftRegistry {
        RaftRegistry::connect(self.client_settings()).await.unwrap()
    }

    pub(crate) fn client_settings(&self) -> RaftSettings {
        RaftSettings {
            role: Role::Client,
            members: self.members.clone(),
            timing: TimingProfile::Test,
            connect_timeout: PATIENCE,
            request_timeout: PATIENCE,
            ..RaftSettings::default()
        }
    }
}

/// The member that leads, as soon as there is one.
pub(crate) async fn leader(client: &RaftRegistry) -> u64 {
    let found = async {
        loop {
            if let Ok(status) = client.status().await
                && let Some(leader) = status.leader
            {
                return leader;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("a leader in time")
}

/// Addresses of loopback that nobody listens on at the moment.
pub(crate) fn free_addresses(count: u64) -> Vec<MemberAddress> {
    (1..=count).map(|id| MemberAddress::new(id, format!("127.0.0.1:{}", free_port().unwrap()))).collect()
}

pub(crate) fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

pub(crate) async fn next(subscription: &mut Subscription) -> Event {
    timeout(PATIENCE, subscription.next()).await.expect("an event in time").expect("an event").expect("no error")
}

/// What a process of [`Cluster`] does: it is a member until it is killed, or its parent is gone.
#[test]
#[ignore = "run by the tests of this file as a process of its own"]
fn member_process() {
    let (Ok(node), Ok(members), Ok(data)) = (std::env::var(NODE), std::env::var(MEMBERS), std::env::var(DATA)) else {
        return;
    };
    let node: u64 = node.parse().unwrap();
    let members: Vec<_> = members
        .split(',')
        .map(|member| {
            let (id, address) = member.split_once('@').unwrap();
            MemberAddress::new(id.parse().unwrap(), address)
        })
        .collect();
    let settings = RaftSettings {
        node,
        listen: members.iter().find(|member| member.id == node).unwrap().address.clone(),
        members,
        data_dir: Some(PathBuf::from(data)),
        timing: TimingProfile::Test,
        ..RaftSettings::default()
    };
    if std::env::var_os("REGISTRY_TEST_LOG").is_some() {
        tracing_subscriber::fmt().with_env_filter("info,registry_raft=debug").with_writer(std::io::stderr).init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let registry = RaftRegistry::connect(settings).await.unwrap();
        let parent_gone = tokio::task::spawn_blocking(|| std::io::Read::read(&mut std::io::stdin(), &mut [0; 1]));
        tokio::select! {
            reason = registry.failed() => panic!("member {node} failed: {reason}"),
            _ = parent_gone => {}
        }
    });
}
