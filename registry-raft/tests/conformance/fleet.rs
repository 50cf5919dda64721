//! Members as processes that are killed, stopped and cut off from each other, and remote clients.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::{Broken, Cluster, Fault, Harness, Outcome, Timing};
use registry_api::Registry;
use registry_raft::{MemberAddress, RaftRegistry, RaftSettings, Role};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::embedded::free_addresses;
use crate::link::Wire;
use crate::member::{CONFIG_VARIABLE, SERVING};

/// How long a process may take to serve or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A group of member processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processes {
    name: &'static str,
    members: usize,
    faults: &'static [Fault],
    expected: &'static str,
}

const FAULTS_OF_ONE: &[Fault] =
    &[Fault::Kill(0), Fault::Start(0), Fault::Restart(0), Fault::RestartAll, Fault::MoveAll];

const FAULTS_OF_MANY: &[Fault] = &[
    Fault::Kill(0),
    Fault::Start(0),
    Fault::Restart(0),
    Fault::RestartAll,
    Fault::MoveAll,
    Fault::ChangeLeader,
    Fault::Pause(0),
    Fault::Resume(0),
    Fault::Isolate(0),
    Fault::Heal,
];

impl Processes {
    pub(crate) const ONE: Self = Self {
        name: "raft-remote-one",
        members: 1,
        faults: FAULTS_OF_ONE,
        expected: include_str!("expected/raft-remote-one.txt"),
    };
    pub(crate) const THREE: Self = Self {
        name: "raft-remote-three",
        members: 3,
        faults: FAULTS_OF_MANY,
        expected: include_str!("expected/raft-remote-three.txt"),
    };
    pub(crate) const FIVE: Self = Self {
        name: "raft-remote-five",
        members: 5,
        faults: FAULTS_OF_MANY,
        expected: include_str!("expected/raft-remote-five.txt"),
    };
}

#[async_trait]
impl Harness for Processes {
    fn name(&self) -> &'static str {
        self.name
    }

    fn timing(&self) -> Timing {
        // Members that were killed or stand still leave the machine to others.
        Timing { parallel_apart: 3, ..crate::timing() }
    }

    fn members(&self) -> usize {
        self.members
    }

    fn faults(&self) -> &'static [Fault] {
        self.faults
    }

    fn expected(&self) -> &'static str {
        self.expected
    }

    fn capabilities(&self) -> &'static str {
        include_str!("../../../docs/capabilities/raft.json")
    }

    async fn start(&self) -> Outcome<Arc<dyn Cluster>> {
        let fleet =
            Fleet { data: TempDir::new()?, crew: Mutex::default(), connected: AtomicUsize::new(0), size: self.members };
        fleet.crew.lock().await.launch(&fleet.data, self.members).await?;
        Ok(Arc::new(fleet))
    }
}

/// The processes and the wires between them. They die with it.
struct Fleet {
    data: TempDir,
    crew: Mutex<Crew>,
    connected: AtomicUsize,
    size: usize,
}

#[derive(Default)]
struct Crew {
    addresses: Vec<MemberAddress>,
    /// By who dials and who is dialled.
    wires: BTreeMap<(u64, u64), Wire>,
    processes: BTreeMap<u64, Child>,
}

impl Crew {
    /// Gives every member a new address, and starts all of them.
    async fn launch(&mut self, data: &TempDir, size: usize) -> Outcome {
        self.addresses = free_addresses(size)?;
        self.wires.clear();
        for from in &self.addresses {
            for to in self.addresses.iter().filter(|to| to.id != from.id) {
                self.wires.insert((from.id, to.id), Wire::to(to.address.clone()).await?);
            }
        }
        self.start_all(data).await
    }

    async fn start_all(&mut self, data: &TempDir) -> Outcome {
        let ids: Vec<_> = self.addresses.iter().map(|member| member.id).collect();
        for id in &ids {
            self.spawn(data, *id).await?;
        }
        for id in ids {
            self.serving(id).await?;
        }
        Ok(())
    }

    async fn spawn(&mut self, data: &TempDir, id: u64) -> Outcome {
        for wire in self.wires_to(id) {
            wire.plug().await?;
        }
        let config = data.path().join(format!("member-{id}.toml"));
        tokio::fs::write(&config, self.config(data.path(), id)).await?;
        // Without `RUST_LOG` a member says nothing but why it ends.
        let process = Command::new(std::env::current_exe()?)
            .env(CONFIG_VARIABLE, &config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        self.processes.insert(id, process);
        Ok(())
    }

    async fn serving(&mut self, id: u64) -> Outcome {
        let output = self.process(id)?.stdout.take().ok_or_else(|| Broken::harness("a member without output"))?;
        let line = tokio::time::timeout(PATIENCE, BufReader::new(output).lines().next_line()).await??;
        if line.as_deref() == Some(SERVING) {
            Ok(())
        } else {
            Err(Broken::harness(format!("member {id} says {line:?}")))
        }
    }

    fn process(&mut self, id: u64) -> Outcome<&mut Child> {
        self.processes.get_mut(&id).ok_or_else(|| Broken::harness(format!("member {id} does not run")))
    }

    /// What a member is told: its own address, and the near ends of its wires to the others. The log is compacted
    /// often, so that snapshots are part of what the cases show.
    fn config(&self, data: &Path, id: u64) -> String {
        let dialled = |member: &MemberAddress| match self.wires.get(&(id, member.id)) {
            Some(wire) => format!("\"{}@{}\"", member.id, wire.address()),
            None => format!("\"{member}\""),
        };
        let members: Vec<_> = self.addresses.iter().map(dialled).collect();
        let own = self.addresses.iter().find(|member| member.id == id).map_or("", |member| member.address.as_str());
        format!(
            "[registry]\nbackend = \"raft\"\n[registry.raft]\nrole = \"member\"\nnode = {id}\ndata_dir = {:?}\n\
             listen = \"{own}\"\nadvertise = \"{own}\"\nmembers = [{}]\ncompact_after_entries = 1000\n",
            data.join(format!("data-{id}")),
            members.join(", ")
        )
    }

    async fn kill(&mut self, ids: &[u64]) -> Outcome {
        for id in ids {
            self.unplug(*id).await;
            self.process(*id)?.start_kill()?;
        }
        for id in ids {
            self.process(*id)?.wait().await?;
            self.processes.remove(id);
        }
        Ok(())
    }

    async fn stop(&mut self, id: u64) -> Outcome {
        self.signal(id, Signal::TERM)?;
        let status = tokio::time::timeout(PATIENCE, self.process(id)?.wait()).await??;
        self.processes.remove(&id);
        self.unplug(id).await;
        if status.success() { Ok(()) } else { Err(Broken::harness(format!("member {id} stopped with {status}"))) }
    }

    fn signal(&mut self, id: u64, signal: Signal) -> Outcome {
        let process = self.process(id)?.id().map(u32::cast_signed).and_then(Pid::from_raw);
        Ok(kill_process(process.ok_or_else(|| Broken::harness("a process without id"))?, signal)?)
    }

    async fn start(&mut self, data: &TempDir, id: u64) -> Outcome {
        self.spawn(data, id).await?;
        self.serving(id).await
    }

    fn wires_to(&mut self, id: u64) -> impl Iterator<Item = &mut Wire> {
        self.wires.iter_mut().filter(move |((_, to), _)| *to == id).map(|(_, wire)| wire)
    }

    async fn unplug(&mut self, id: u64) {
        for wire in self.wires_to(id) {
            wire.unplug().await;
        }
    }

    fn isolate(&self, id: u64) {
        self.wires.iter().filter(|((from, to), _)| *from == id || *to == id).for_each(|(_, wire)| wire.cut());
    }
}

fn id_of(member: usize) -> u64 {
    member as u64 + 1
}

impl Fleet {
    async fn client(&self, members: Vec<MemberAddress>) -> Outcome<RaftRegistry> {
        let timeout = crate::timing().request_timeout;
        let settings = RaftSettings {
            role: Role::Client,
            members,
            connect_timeout: PATIENCE,
            request_timeout: timeout,
            ..RaftSettings::default()
        };
        Ok(RaftRegistry::connect(settings).await?)
    }

    /// The member that leads and runs.
    async fn leading(&self) -> Outcome<u64> {
        let (addresses, running) = {
            let crew = self.crew.lock().await;
            (crew.addresses.clone(), crew.processes.keys().copied().collect::<Vec<_>>())
        };
        let client = self.client(addresses).await?;
        let ask = async {
            loop {
                let leader = client.status().await.ok().and_then(|status| status.leader);
                if let Some(leader) = leader.filter(|leader| running.contains(leader)) {
                    return leader;
                }
            }
        };
        let leader = tokio::time::timeout(PATIENCE, ask).await?;
        client.close().await?;
        Ok(leader)
    }
}

#[async_trait]
impl Cluster for Fleet {
    async fn connect(&self) -> Outcome<Arc<dyn Registry>> {
        let mut members = self.crew.lock().await.addresses.clone();
        let turn = self.connected.fetch_add(1, Ordering::Relaxed) % members.len().max(1);
        members.rotate_left(turn);
        Ok(Arc::new(self.client(members).await?))
    }

    async fn connect_to(&self, member: usize) -> Outcome<Arc<dyn Registry>> {
        let addresses = self.crew.lock().await.addresses.clone();
        let member = addresses.into_iter().find(|address| address.id == id_of(member));
        Ok(Arc::new(self.client(member.into_iter().collect()).await?))
    }

    async fn inject(&self, fault: Fault) -> Outcome {
        if fault == Fault::ChangeLeader {
            let leader = self.leading().await?;
            let mut crew = self.crew.lock().await;
            crew.stop(leader).await?;
            return crew.start(&self.data, leader).await;
        }
        let mut crew = self.crew.lock().await;
        let everybody: Vec<_> = crew.processes.keys().copied().collect();
        match fault {
            Fault::Kill(member) => crew.kill(&[id_of(member)]).await,
            Fault::Start(member) => crew.start(&self.data, id_of(member)).await,
            Fault::Restart(member) => {
                crew.stop(id_of(member)).await?;
                crew.start(&self.data, id_of(member)).await
            }
            Fault::RestartAll => {
                crew.kill(&everybody).await?;
                crew.start_all(&self.data).await
            }
            Fault::MoveAll => {
                crew.kill(&everybody).await?;
                crew.launch(&self.data, self.size).await
            }
            Fault::Pause(member) => crew.signal(id_of(member), Signal::STOP),
            Fault::Resume(member) => crew.signal(id_of(member), Signal::CONT),
            Fault::Isolate(member) => {
                crew.isolate(id_of(member));
                Ok(())
            }
            Fault::Heal => {
                crew.wires.values().for_each(Wire::mend);
                Ok(())
            }
            other => Err(Broken::harness(format!("processes: cannot {other}"))),
        }
    }

    async fn leader(&self) -> Outcome<usize> {
        Ok(usize::try_from(self.leading().await?)?.saturating_sub(1))
    }

    async fn disk_usage(&self) -> Outcome<Option<u64>> {
        let mut bytes = 0;
        let mut folders = vec![self.data.path().to_owned()];
        while let Some(folder) = folders.pop() {
            let mut entries = tokio::fs::read_dir(folder).await?;
            while let Some(entry) = entries.next_entry().await? {
                let metadata = entry.metadata().await?;
                if metadata.is_dir() { folders.push(entry.path()) } else { bytes += metadata.len() }
            }
        }
        Ok(Some(bytes))
    }
}
