//! The members of one cluster as processes, and what can be done to them.

use std::collections::BTreeMap;
use std::future::Future;
use std::process::Stdio;
use std::time::{Duration, Instant};

use conformance_tests::free_port;
use figment::Figment;
use figment::providers::{Format as _, Toml};
use registry_api::{Plugins, RegistryClient};
use registry_raft::RaftPlugin;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::member::CONFIG_VARIABLE;

/// How long anything may take before a case fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster of member processes in a temporary directory. Its processes die with it.
pub(crate) struct Fleet {
    directory: TempDir,
    ports: BTreeMap<u64, u16>,
    running: BTreeMap<u64, Child>,
}

impl Fleet {
    /// Starts `size` members and waits until all of them serve.
    pub(crate) async fn start(size: u64) -> Self {
        let ports = (1..=size).map(|member| (member, free_port().expect("a port"))).collect();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut fleet = Self { directory, ports, running: BTreeMap::new() };
        fleet.restart(1..=size).await;
        fleet
    }

    /// Starts these members, which are not running, all at once; waits until they serve.
    pub(crate) async fn restart(&mut self, members: impl IntoIterator<Item = u64>) {
        let members: Vec<u64> = members.into_iter().collect();
        for member in &members {
            let process = self.spawn(*member);
            self.running.insert(*member, process);
        }
        for member in members {
            let process = self.running.get_mut(&member).expect("started");
            let output = process.stdout.as_mut().expect("piped");
            let line = within("a member to serve", BufReader::new(output).lines().next_line()).await.expect("readable");
            assert_eq!(line.as_deref(), Some("serving"), "member {member}");
        }
    }

    /// Starts one member that is expected to refuse; its line.
    pub(crate) async fn refusal(&self, member: u64) -> String {
        let mut process = self.spawn(member);
        let status = within("the member to end", process.wait()).await.expect("waited for");
        let mut line = String::new();
        process.stderr.take().expect("piped").read_to_string(&mut line).await.expect("readable");
        assert!(!status.success(), "member {member} ended with success");
        line
    }

    fn spawn(&self, member: u64) -> Child {
        let config = self.directory.path().join(format!("member-{member}.toml"));
        std::fs::write(&config, self.member_config(member)).expect("a configuration file");
        Command::new(std::env::current_exe().expect("this program"))
            .env(CONFIG_VARIABLE, &config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a process")
    }

    /// Kills these members at the same moment, as a crash would.
    pub(crate) async fn kill(&mut self, members: impl IntoIterator<Item = u64>) {
        let mut killed: Vec<Child> =
            members.into_iter().map(|member| self.running.remove(&member).expect("running")).collect();
        for process in &mut killed {
            process.start_kill().expect("killed");
        }
        for mut process in killed {
            process.wait().await.expect("waited for");
        }
    }

    /// Asks a member to stop, and waits until it has.
    pub(crate) async fn stop(&mut self, member: u64) {
        self.signal(member, Signal::TERM);
        let mut process = self.running.remove(&member).expect("running");
        let status = within("a graceful stop", process.wait()).await.expect("waited for");
        assert!(status.success(), "member {member} stopped with {status}");
    }

    /// Freezes or thaws a member.
    pub(crate) fn signal(&self, member: u64, signal: Signal) {
        let process = self.running.get(&member).and_then(Child::id).expect("running");
        let process = Pid::from_raw(process.cast_signed()).expect("a pid");
        kill_process(process, signal).expect("signalled");
    }

    /// The data directory of a member.
    pub(crate) fn data_dir(&self, member: u64) -> std::path::PathBuf {
        self.directory.path().join(format!("data-{member}"))
    }

    /// A remote client of its own connection.
    pub(crate) async fn client(&self) -> RegistryClient {
        self.remote().await.0
    }

    /// A remote client, with what only this backend can tell.
    pub(crate) async fn remote(&self) -> (RegistryClient, RaftPlugin) {
        let config = format!(
            "[registry]\nbackend = \"raft\"\nsession_ttl = \"10s\"\nrequest_timeout = \"5s\"\n\
             [registry.raft]\nrole = \"client\"\nmembers = [{}]\n",
            self.members()
        );
        let figment = Figment::from(Toml::string(&config)).focus("registry");
        let plugin = RaftPlugin::new();
        let client = within("a client", Plugins::new().with(plugin.clone()).connect(figment)).await.expect("connected");
        (client, plugin)
    }

    /// Who leads, and in which term, once somebody does who is among the running.
    pub(crate) async fn leader(&self) -> (u64, u64) {
        let (client, plugin) = self.remote().await;
        let registry = plugin.raft().expect("connected");
        let found = eventually("a leader", async || {
            let status = registry.status().await.ok()?;
            let leader = status.leader?;
            self.running.contains_key(&leader).then_some((leader, status.term))
        })
        .await;
        client.close().await.expect("closed");
        found
    }

    /// Waits until this member has applied what the others have.
    pub(crate) async fn caught_up(&self, member: u64) {
        let (client, plugin) = self.remote().await;
        let registry = plugin.raft().expect("connected");
        eventually("the member to catch up", async || {
            let status = registry.status().await.ok()?;
            let applied =
                |report: &registry_raft::MemberReport| report.state.as_ref().ok().map(|state| state.applied_index);
            let newest = status.members.iter().filter_map(applied).max()?;
            let its = status.members.iter().find(|report| report.id == member).and_then(applied)?;
            (its == newest).then_some(())
        })
        .await;
        client.close().await.expect("closed");
    }

    /// The process ids of the running members.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        self.running.values().filter_map(Child::id)
    }

    fn member_config(&self, member: u64) -> String {
        let port = self.ports.get(&member).expect("a member");
        format!(
            "[registry]\nbackend = \"raft\"\n[registry.raft]\nrole = \"member\"\nnode = {member}\ndata_dir = {:?}\n\
             listen = \"127.0.0.1:{port}\"\nadvertise = \"127.0.0.1:{port}\"\nmembers = [{}]\n",
            self.data_dir(member),
            self.members()
        )
    }

    fn members(&self) -> String {
        let members = self.ports.iter().map(|(member, port)| format!("\"{member}@127.0.0.1:{port}\""));
        members.collect::<Vec<_>>().join(", ")
    }
}

/// The result of `future`, which must come in time.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(result) => result,
        Err(_elapsed) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Asks again until there is an answer. Each question is a round trip to a server, so this does not spin.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::task::yield_now().await;
    }
}
