//! Servers of ZooKeeper or etcd in containers, described by whoever may start them; killed and renewed here.

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::process::Command;

use super::Kind;
use crate::{Outcome, line};

/// The servers of one system, and how each is started.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Description {
    /// As in the configuration key `backend`.
    pub(crate) name: String,
    version: String,
    /// The section of the configuration that connects to them.
    section: String,
    members: Vec<Member>,
}

#[derive(Clone, Debug, Deserialize)]
struct Member {
    /// The name of the container.
    name: String,
    /// `host:port`.
    address: String,
    /// The arguments of `docker` that start it.
    run: Vec<String>,
}

/// Servers that run.
#[derive(Debug)]
pub(crate) struct Containers {
    kind: Kind,
    description: Description,
    /// The process of each; 0 for none.
    processes: Vec<u32>,
}

impl Containers {
    /// The servers of this description, which are there already.
    pub(crate) async fn attach(description: Description) -> Outcome<Self> {
        let kind = match description.name.as_str() {
            "zookeeper" => Kind::ZooKeeper,
            "etcd" => Kind::Etcd,
            other => return Err(format!("{other:?} is no system that can be measured: zookeeper or etcd can")),
        };
        let processes = description.members.iter().map(|_| 0).collect();
        let mut containers = Self { kind, description, processes };
        containers.find_processes().await?;
        Ok(containers)
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn version(&self) -> &str {
        &self.description.version
    }

    pub(super) fn section(&self) -> &str {
        &self.description.section
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        self.description.members.iter().map(|member| member.address.clone()).collect()
    }

    pub(super) fn processes(&self) -> Vec<u32> {
        self.processes.iter().copied().filter(|process| *process > 0).collect()
    }

    pub(super) async fn clear(&mut self) -> Outcome<()> {
        let names = self.names();
        docker(["rm", "--force", "--volumes"].into_iter().chain(names.iter().map(String::as_str))).await?;
        self.processes.fill(0);
        Ok(())
    }

    /// All at once, as the members wait for each other.
    pub(super) async fn launch(&mut self) -> Outcome<()> {
        let runs = self.description.members.iter().map(|member| docker(member.run.iter().map(String::as_str)));
        futures::future::try_join_all(runs).await?;
        self.find_processes().await
    }

    pub(super) async fn kill(&mut self, members: &[usize]) -> Outcome<()> {
        for member in members {
            let process = self.processes.get_mut(*member).ok_or("no such member")?;
            let process = Pid::from_raw(std::mem::take(process).cast_signed()).ok_or("this member does not run")?;
            kill_process(process, Signal::KILL).map_err(line)?;
        }
        Ok(())
    }

    pub(super) async fn start(&mut self, members: &[usize]) -> Outcome<()> {
        let names = self.names();
        let chosen: Vec<&str> = members.iter().filter_map(|member| names.get(*member)).map(String::as_str).collect();
        docker(["wait"].into_iter().chain(chosen.iter().copied())).await?;
        docker(["start"].into_iter().chain(chosen)).await?;
        self.find_processes().await
    }

    fn names(&self) -> Vec<String> {
        self.description.members.iter().map(|member| member.name.clone()).collect()
    }

    async fn find_processes(&mut self) -> Outcome<()> {
        let names = self.names();
        let inspect = ["inspect", "--format", "{{.State.Pid}}"].into_iter().chain(names.iter().map(String::as_str));
        let told = docker(inspect).await?;
        self.processes = told.lines().map(|line| line.trim().parse().map_err(crate::line)).collect::<Outcome<_>>()?;
        Ok(())
    }
}

async fn docker<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Outcome<String> {
    let output = Command::new("docker").args(arguments).output().await.map_err(|error| format!("docker: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("docker: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
