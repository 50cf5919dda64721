//! The processes of the demo: three masters, two workers and the API server, with their configuration and logs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::command::{free_ports, pause, say};

/// How many masters; three survive the death of one.
const MASTERS: usize = 3;
const WORKERS: usize = 2;
/// Between asking a process to stop and killing it.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// The loopback ports that the processes listen on.
pub(super) struct Ports {
    masters: Vec<u16>,
    api: u16,
}

impl Ports {
    /// Ports that nobody listens on now.
    pub(super) fn free() -> Result<Self, String> {
        let mut masters = free_ports(MASTERS + 1)?;
        let api = masters.pop().ok_or("no port")?;
        Ok(Self { masters, api })
    }

    fn members(&self) -> String {
        let members =
            self.masters.iter().enumerate().map(|(index, port)| format!("\"{}@127.0.0.1:{port}\"", index + 1));
        members.collect::<Vec<_>>().join(", ")
    }
}

/// The backend that the processes use, in the words of the configuration.
pub(super) struct Ground {
    /// The key `backend`.
    pub(super) backend: &'static str,
    /// The section that connects to servers, where there are any.
    pub(super) section: String,
}

/// The running processes; dropping it kills those that are left.
pub(super) struct Cluster {
    binary: PathBuf,
    directory: PathBuf,
    ports: Ports,
    ground: Ground,
    processes: BTreeMap<String, Child>,
}

impl Cluster {
    /// Writes the configuration files into `directory` and starts everything.
    pub(super) fn start(binary: &Path, directory: &Path, ports: Ports, ground: Ground) -> Result<Self, String> {
        let mut cluster = Self {
            binary: binary.to_path_buf(),
            directory: directory.to_path_buf(),
            ports,
            ground,
            processes: BTreeMap::new(),
        };
        for number in 1..=MASTERS {
            cluster.launch("master", &format!("master-{number}"), &cluster.master_config(number)?)?;
        }
        for number in 1..=WORKERS {
            cluster.launch("worker", &format!("worker-{number}"), &cluster.client_config())?;
        }
        let api =
            format!("{}\n[scheduler.api]\nlisten = \"127.0.0.1:{}\"\n", cluster.client_config(), cluster.ports.api);
        cluster.launch("api", "api", &api)?;
        Ok(cluster)
    }

    /// The backend that the processes use.
    pub(super) fn backend(&self) -> &'static str {
        self.ground.backend
    }

    /// The address of the page.
    pub(super) fn page(&self) -> String {
        format!("http://127.0.0.1:{}/", self.ports.api)
    }

    /// The file that the tasks leave their effects in.
    pub(super) fn ledger(&self) -> PathBuf {
        self.directory.join("ledger.jsonl")
    }

    /// The scheduler's command line, connected as a client where it connects.
    pub(super) fn scheduler(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(&self.directory);
        command
    }

    /// The configuration file of a client.
    pub(super) fn client_config_file(&self) -> PathBuf {
        self.directory.join("api.toml")
    }

    /// Kills a process at once, as a crash would.
    pub(super) fn kill(&mut self, name: &str) -> Result<(), String> {
        let mut process = self.processes.remove(name).ok_or_else(|| format!("{name} is not running"))?;
        process.kill().and_then(|()| process.wait()).map_err(|error| format!("cannot kill {name}: {error}"))?;
        Ok(())
    }

    /// Fails when a process has ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<(), String> {
        for (name, process) in &mut self.processes {
            if let Ok(Some(status)) = process.try_wait() {
                return Err(format!("{name} ended by itself: {status}; see its log {name}.log"));
            }
        }
        Ok(())
    }

    /// Waits until every process has ended.
    pub(super) fn wait(&mut self) {
        for process in self.processes.values_mut() {
            let _ = process.wait();
        }
    }

    /// Stops everything gracefully: clients first.
    pub(super) fn stop(&mut self) {
        let deadline = Instant::now() + STOP_PATIENCE;
        for process in self.processes.values().filter_map(pid) {
            let _ = kill_process(process, Signal::TERM);
        }
        while Instant::now() < deadline
            && self.processes.values_mut().any(|process| matches!(process.try_wait(), Ok(None)))
        {
            pause(Duration::from_millis(20));
        }
        for (name, process) in &mut self.processes {
            if matches!(process.try_wait(), Ok(None)) {
                say(&format!("{name} did not stop within {STOP_PATIENCE:?}"));
            }
        }
    }

    fn launch(&mut self, role: &str, name: &str, config: &str) -> Result<(), String> {
        let fail = |error: std::io::Error| format!("cannot start {name}: {error}");
        let config_file = self.directory.join(format!("{name}.toml"));
        fs::write(&config_file, config).map_err(fail)?;
        let log = File::create(self.directory.join(format!("{name}.log"))).map_err(fail)?;
        let process = self
            .scheduler(&[role, "--name", name, "--log-format", "json"])
            .arg("--config")
            .arg(&config_file)
            .env("LEDGER_FILE", self.ledger())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(fail)?;
        self.processes.insert(name.to_owned(), process);
        Ok(())
    }

    fn master_config(&self, number: usize) -> Result<String, String> {
        let port = self.ports.masters.get(number - 1).ok_or("no port")?;
        Ok(format!(
            "{}[registry.raft]\nrole = \"member\"\nnode = {number}\ndata_dir = \"data/master-{number}\"\n\
             listen = \"127.0.0.1:{port}\"\nadvertise = \"127.0.0.1:{port}\"\nmembers = [{}]\n",
            self.common(),
            self.ports.members()
        ))
    }

    fn client_config(&self) -> String {
        format!("{}[registry.raft]\nrole = \"client\"\nmembers = [{}]\n", self.common(), self.ports.members())
    }

    /// The same for every process. The section of raft follows whatever the backend is: only the key chooses.
    fn common(&self) -> String {
        let Ground { backend, section } = &self.ground;
        format!("[registry]\nbackend = \"{backend}\"\nnamespace = \"/scheduler\"\nsession_ttl = \"3s\"\n\n{section}\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.processes.values_mut() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn pid(process: &Child) -> Option<Pid> {
    i32::try_from(process.id()).ok().and_then(Pid::from_raw)
}
