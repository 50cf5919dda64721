//! Servers of ZooKeeper or etcd in containers, for the demo and the bench: three members, removed whatever happens.

mod place;
mod software;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::command::{pause, say};
use crate::images;

use place::Place;
pub(crate) use software::Software;

/// How many members; three survive the death of one.
const MEMBERS: usize = 3;
/// From the start of the containers to an answer of every member, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How long one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Removes the containers of one run, then their network, once nobody holds its input open any more: also after
/// Ctrl-C or the death of this process.
const SWEEP: &str = "trap '' INT TERM HUP; cat > /dev/null
ids=$(docker ps --all --quiet --filter label=$0)
[ -z \"$ids\" ] || docker rm --force --volumes $ids > /dev/null
docker network rm $0 > /dev/null 2>&1; true";

/// Running servers. They are gone when this is dropped.
pub(crate) struct Servers {
    software: Software,
    /// Names the network, and labels the containers.
    run: String,
    members: Vec<Member>,
    sweeper: Child,
}

/// One server, and how it is started again.
#[derive(Debug, Serialize)]
struct Member {
    /// The name of the container.
    name: String,
    /// `host:port`.
    address: String,
    /// The arguments of `docker` that start it.
    run: Vec<String>,
}

/// What somebody else needs to connect to servers, to kill them and to start them again.
#[derive(Debug, Serialize)]
pub(crate) struct Description<'a> {
    name: &'a str,
    version: &'a str,
    section: String,
    members: &'a [Member],
}

impl Servers {
    /// Starts the members on a network of their own, and waits until each serves.
    pub(crate) fn start(software: Software) -> Result<Self, String> {
        Self::start_at(software, &software.places(MEMBERS))
    }

    /// Starts them on the network of this machine, so that no bridge is between them and their clients.
    pub(crate) fn start_on_host(software: Software) -> Result<Self, String> {
        Self::start_at(software, &Place::on_host(MEMBERS)?)
    }

    fn start_at(software: Software, places: &[Place]) -> Result<Self, String> {
        images::build_servers(images::Release::Trixie)?;
        let run = format!("registry-{}-{}", software.name(), std::process::id());
        let sweeper = Command::new("sh")
            .args(["-c", SWEEP, &run])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start the process that removes the containers: {error}"))?;
        let mut servers = Self { software, run, members: Vec::new(), sweeper };
        let start = Instant::now();
        docker(["network", "create", &servers.run])?;
        for index in 0..places.len() {
            servers.start_member(index, places)?;
        }
        servers.wait_until_all_serve(start + START_PATIENCE)?;
        say(&format!("{MEMBERS} members of {} serve after {:.1} s", software.name(), start.elapsed().as_secs_f64()));
        Ok(servers)
    }

    /// As in the configuration key `backend`.
    pub(crate) fn name(&self) -> &'static str {
        self.software.name()
    }

    /// The section of the configuration that connects to them.
    pub(crate) fn section(&self) -> String {
        let addresses: Vec<_> = self.members.iter().map(|member| member.address.clone()).collect();
        self.software.section(&addresses)
    }

    pub(crate) fn description(&self) -> Description<'_> {
        let (name, version) = (self.name(), self.software.version());
        Description { name, version, section: self.section(), members: &self.members }
    }

    fn start_member(&mut self, index: usize, places: &[Place]) -> Result<(), String> {
        let place = places.get(index).ok_or("no such member")?;
        let name = format!("{}-{}", self.run, index + 1);
        let mut run: Vec<String> = ["run", "--detach", "--label", &self.run, "--name", &name].map(str::to_owned).into();
        run.extend(place.network(&self.run));
        run.extend(self.software.container(index, places));
        docker(run.iter().map(String::as_str))?;
        let address = match place.address() {
            Some(address) => address,
            None => published(&name, place)?,
        };
        self.members.push(Member { name, address, run });
        Ok(())
    }

    fn wait_until_all_serve(&self, deadline: Instant) -> Result<(), String> {
        for Member { name, address, .. } in &self.members {
            while !self.software.serves(address) {
                if Instant::now() >= deadline {
                    return Err(format!("{name} does not serve within {START_PATIENCE:?}:\n{}", log_end(name)));
                }
                pause(LOOK_INTERVAL);
            }
        }
        Ok(())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.sweeper.stdin.take());
        if let Err(error) = self.sweeper.wait() {
            say(&format!("the containers labelled {} may still be there: {error}", self.run));
        }
    }
}

/// The address on this machine that leads to a container on a network of its own.
fn published(name: &str, place: &Place) -> Result<String, String> {
    let published = docker(["port", name, &format!("{}/tcp", place.client)])
        .map_err(|error| format!("{error}; its log ends with:\n{}", log_end(name)))?;
    published.lines().next().map(str::to_owned).ok_or_else(|| format!("{name} publishes no port"))
}

/// The last lines of a container's log, which servers write to both outputs.
fn log_end(name: &str) -> String {
    let output = Command::new("docker").args(["logs", "--tail", "20", name]).output();
    output.map_or_else(
        |error| error.to_string(),
        |output| [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat(),
    )
}

/// Runs `docker` to its end, and returns what it printed.
fn docker<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<String, String> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let output = Command::new("docker")
        .args(&arguments)
        .output()
        .map_err(|error| format!("cannot run docker, which starts the servers: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("docker {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Sends `request` and reads the answer to its end; `None` where nobody answers in time.
pub(crate) fn ask(address: &str, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address.parse().ok()?, LOOK_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(LOOK_TIMEOUT)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
