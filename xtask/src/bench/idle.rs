//! What sessions cost that do nothing: requests per second that the servers of each backend take.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Outcome, cargo, free_ports, pause, root, run, say, target_dir};
use crate::servers::{Servers, Software, ask};

const SESSIONS: usize = 100;
/// Several heartbeats of each session.
const MEASURED: Duration = Duration::from_secs(30);
/// The default of the settings.
const TTL: &str = "10s";

pub(super) fn measure() -> Outcome {
    run("build", &mut cargo(["build", "--locked", "--package", "scheduler", "--example", "idle"]))?;
    of_members()?;
    of_servers(Software::ZooKeeper, |address| counted(&ask(address, "srvr")?, "Received: "))?;
    of_servers(Software::Etcd, |address| counted(&metrics(address)?, "grpc_server_msg_received_total{"))
}

/// Three members of raft, each a process that does nothing else.
fn of_members() -> Outcome {
    let directory = temporary_directory()?;
    let addresses: Vec<_> = free_ports(3)?.into_iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let listed = addresses.iter().enumerate().map(|(index, address)| format!("\"{}@{address}\"", index + 1));
    let listed = listed.collect::<Vec<_>>().join(", ");
    let mut members = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let node = index + 1;
        let section = format!(
            "[registry.raft]\nrole = \"member\"\nnode = {node}\ndata_dir = \"{}\"\nlisten = \"{address}\"\n\
             members = [{listed}]\n",
            directory.path().join(node.to_string()).display()
        );
        members.push(Idle::start(directory.path(), &format!("member-{node}"), "raft", &section, 0)?);
    }
    let section = format!("[registry.raft]\nrole = \"client\"\nmembers = [{listed}]\n");
    let names = ["registry_raft_heartbeats_total", "registry_raft_reads_total", "registry_raft_proposals_total"];
    let count = |address: &str| {
        let text = metrics(address)?;
        Some(names.iter().filter_map(|name| counted(&text, name)).sum())
    };
    of_sessions(directory.path(), "raft", &section, &addresses, count)
}

fn of_servers(software: Software, count: impl Fn(&str) -> Option<u64>) -> Outcome {
    let servers = Servers::start(software)?;
    let directory = temporary_directory()?;
    of_sessions(directory.path(), servers.name(), &servers.section(), servers.addresses(), count)
}

/// Counts what the servers take while one client holds the sessions open.
fn of_sessions(
    directory: &Path,
    backend: &str,
    section: &str,
    addresses: &[String],
    count: impl Fn(&str) -> Option<u64>,
) -> Outcome {
    let sum = || {
        let counts: Option<Vec<u64>> = addresses.iter().map(|address| count(address)).collect();
        counts.map(|counts| counts.iter().sum::<u64>()).ok_or(format!("a server of {backend} does not tell its counts"))
    };
    let mut client = Idle::start(directory, "client", backend, section, SESSIONS)?;
    let granted = client.wait_until_ready()?;
    let (start, before) = (Instant::now(), sum()?);
    pause(MEASURED);
    let (took, after) = (start.elapsed(), sum()?);
    client.end()?;
    let hundredths = u128::from(after.saturating_sub(before)) * 100_000 / took.as_millis().max(1);
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    say(&format!(
        "{backend}: {SESSIONS} idle sessions, {TTL} asked, {granted} granted: {whole}.{rest:02} requests per second"
    ));
    Ok(())
}

/// A process of the example `idle`; killed when it is dropped.
struct Idle {
    name: String,
    process: Child,
}

impl Idle {
    fn start(directory: &Path, name: &str, backend: &str, section: &str, sessions: usize) -> Result<Self, String> {
        let fail = |error: std::io::Error| format!("cannot start {name}: {error}");
        let config: PathBuf = directory.join(format!("{name}.toml"));
        let general = format!("[registry]\nbackend = \"{backend}\"\nsession_ttl = \"{TTL}\"\n");
        fs::write(&config, format!("{general}\n{section}")).map_err(fail)?;
        let process = Command::new(root().join(target_dir()).join("debug/examples/idle"))
            .arg(config)
            .arg(sessions.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        Ok(Self { name: name.to_owned(), process })
    }

    /// Waits until all sessions are open, and returns the ttl that they were granted.
    fn wait_until_ready(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let output = self.process.stdout.take().ok_or("no output")?;
        BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
        if line.is_empty() { Err(format!("{} opened no sessions", self.name)) } else { Ok(line.trim().to_owned()) }
    }

    /// Fails where sessions were lost.
    fn end(&mut self) -> Outcome {
        drop(self.process.stdin.take());
        let status = self.process.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("{}: {status}", self.name)) }
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn temporary_directory() -> Result<tempfile::TempDir, String> {
    tempfile::tempdir().map_err(|error| format!("cannot make a temporary directory: {error}"))
}

fn metrics(address: &str) -> Option<String> {
    ask(address, &format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n"))
}

/// The sum of the numbers at the ends of the lines that begin with `name`.
fn counted(text: &str, name: &str) -> Option<u64> {
    let lines = text.lines().filter(|line| line.starts_with(name));
    let numbers = lines.filter_map(|line| line.rsplit(' ').next()?.trim().parse::<u64>().ok());
    Some(numbers.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_labels_are_summed() {
        let text = "# TYPE a counter\na_total{x=\"1\"} 3\na_total{x=\"2\"} 4\nb_total 5\nReceived: 12\n";
        assert_eq!(counted(text, "a_total"), Some(7));
        assert_eq!(counted(text, "Received: "), Some(12));
    }
}
