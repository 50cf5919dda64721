//! Members of raft, each this same program in a process of its own.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::{Outcome, line};

/// The members of one cluster. Their processes die with it.
#[derive(Debug)]
pub(crate) struct Fleet {
    directory: PathBuf,
    ports: Vec<u16>,
    /// More lines for the section of each member.
    settings: String,
    running: Vec<Option<Child>>,
}

impl Fleet {
    /// Members on these ports, which keep everything below `directory`. None runs yet.
    pub(crate) fn new(directory: &Path, ports: Vec<u16>, settings: &str) -> Self {
        let running = ports.iter().map(|_| None).collect();
        Self { directory: directory.to_owned(), ports, settings: settings.to_owned(), running }
    }

    pub(super) async fn clear(&mut self) -> Outcome<()> {
        for mut process in self.running.iter_mut().filter_map(Option::take) {
            process.kill().await.map_err(line)?;
        }
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(format!("{}: {error}", self.directory.display())),
            _ => Ok(()),
        }
    }

    pub(super) fn launch(&mut self) -> Outcome<()> {
        fs::create_dir_all(&self.directory).map_err(|error| format!("{}: {error}", self.directory.display()))?;
        let all: Vec<usize> = (0..self.ports.len()).collect();
        self.start(&all)
    }

    pub(super) async fn kill(&mut self, members: &[usize]) -> Outcome<()> {
        let mut killed = Vec::new();
        for member in members {
            let mut process = self.running.get_mut(*member).and_then(Option::take).ok_or("this member does not run")?;
            process.start_kill().map_err(line)?;
            killed.push(process);
        }
        for mut process in killed {
            process.wait().await.map_err(line)?;
        }
        Ok(())
    }

    pub(super) fn start(&mut self, members: &[usize]) -> Outcome<()> {
        for member in members {
            let process = self.spawn(*member)?;
            if let Some(place) = self.running.get_mut(*member) {
                *place = Some(process);
            }
        }
        Ok(())
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect()
    }

    pub(super) fn processes(&self) -> Vec<u32> {
        self.running.iter().flatten().filter_map(Child::id).collect()
    }

    pub(super) fn client_section(&self) -> String {
        format!("[registry.raft]\nrole = \"client\"\nmembers = [{}]\n", self.members())
    }

    fn members(&self) -> String {
        let members = self.addresses().into_iter().enumerate();
        members.map(|(index, address)| format!("\"{}@{address}\"", index + 1)).collect::<Vec<_>>().join(", ")
    }

    fn spawn(&self, member: usize) -> Outcome<Child> {
        let node = member + 1;
        let address = self.addresses().get(member).cloned().ok_or("no such member")?;
        let config = self.directory.join(format!("member-{node}.toml"));
        let text = format!(
            "[registry]\nbackend = \"raft\"\n[registry.raft]\nrole = \"member\"\nnode = {node}\ndata_dir = {:?}\n\
             listen = \"{address}\"\nmembers = [{}]\n{}",
            self.directory.join(format!("data-{node}")),
            self.members(),
            self.settings
        );
        fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
        Command::new(std::env::current_exe().map_err(line)?)
            .arg("member")
            .arg(&config)
            // Held open for as long as this process lives.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start a member: {error}"))
    }
}

/// Ports of loopback that nobody listens on now, below those that systems give to outgoing connections.
pub(crate) fn free_ports(count: usize) -> Outcome<Vec<u16>> {
    let first = 25_000 + u16::try_from(std::process::id() % 4_000).map_err(line)?;
    let free = (first..32_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let ports: Vec<u16> = free.take(count).collect();
    if ports.len() == count { Ok(ports) } else { Err("no free port on 127.0.0.1".to_owned()) }
}
