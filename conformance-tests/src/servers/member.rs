//! One member: its container, and the gate in front of it.

use std::sync::atomic::{AtomicBool, Ordering};

use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::KillContainerOptions;
use testcontainers::core::IntoContainerPort as _;
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};

use super::docker::docker;
use super::exec;
use super::gate::Gate;
use super::probe;
use super::setup::Setup;
use super::software::{Role, Software};
use crate::{Broken, Outcome, free_port};

/// How long a member may take to stop in good order, in seconds.
const STOPS_WITHIN: i32 = 10;

/// A member of an ensemble. Its container is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Member {
    software: Software,
    network: String,
    /// Its name among the members.
    name: String,
    container: ContainerAsync<GenericImage>,
    docker: Docker,
    /// Past the gate: what the harness itself asks.
    address: String,
    pub(super) gate: Gate,
    runs: AtomicBool,
    stands_still: AtomicBool,
}

impl Member {
    /// Starts the container, and returns before it serves.
    pub(super) async fn launch(setup: &Setup, network: &str, names: &[String], number: usize) -> Outcome<Self> {
        let (software, port) = (setup.software(), free_port()?);
        let request = setup.equip(software.request(setup.settings(), names, number, port)?.with_network(network));
        let (request, client_port) = match setup.own_client_port() {
            None => (request, port),
            Some(inside) => {
                let port = free_port()?;
                (request.with_mapped_port(port, inside.tcp()), port)
            }
        };
        let container = request.start().await?;
        let host = container.get_host().await?;
        let address = format!("{host}:{port}");
        let gate = Gate::to(format!("{host}:{client_port}")).await?;
        let docker = docker().await?;
        let (network, name) = (network.to_owned(), names.get(number).cloned().unwrap_or_default());
        let (runs, stands_still) = (AtomicBool::new(true), AtomicBool::new(false));
        Ok(Self { software, network, name, container, docker, address, gate, runs, stands_still })
    }

    /// The network that it shares with the other members.
    pub(super) fn network(&self) -> &str {
        &self.network
    }

    /// Where it is reached from that network, `host:port`.
    pub(super) fn peer_name(&self) -> String {
        format!("{}:{}", self.name, self.software.port())
    }

    /// Whether its process is there, standing still or not.
    pub(super) fn runs(&self) -> bool {
        self.runs.load(Ordering::Relaxed)
    }

    /// The part that it plays; an error while it does not serve.
    pub(super) async fn role(&self) -> Outcome<Role> {
        self.software.role(&self.address).await
    }

    /// How many requests of clients it has taken since it runs.
    pub(super) async fn requests(&self) -> Outcome<u64> {
        self.software.requests(&self.address).await
    }

    /// Past the gate.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Returns when it serves, which takes a majority.
    pub(super) async fn serves(&self) -> Outcome {
        match probe::until("a member serves", || self.role()).await {
            Ok(_role) => Ok(()),
            Err(last) => Err(Broken::harness(format!("{last}\n{}", self.last_words().await))),
        }
    }

    async fn last_words(&self) -> String {
        let told = async { (self.container.stderr_to_vec().await, self.container.stdout_to_vec().await) };
        let (errors, output) = told.await;
        let text = [errors.unwrap_or_default(), output.unwrap_or_default()].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<_> = text.lines().rev().take(40).collect();
        format!("its log ends with, the last line first: {lines:#?}")
    }

    pub(super) async fn kill(&self) -> Outcome {
        self.runs.store(false, Ordering::Relaxed);
        self.stands_still.store(false, Ordering::Relaxed);
        self.docker.kill_container(self.container.id(), None::<KillContainerOptions>).await?;
        self.gate.shut().await;
        Ok(())
    }

    pub(super) async fn stop(&self) -> Outcome {
        self.runs.store(false, Ordering::Relaxed);
        self.container.stop_with_timeout(Some(STOPS_WITHIN)).await?;
        self.gate.shut().await;
        Ok(())
    }

    /// Starts it with the data it had, and returns before it serves.
    pub(super) async fn start(&self) -> Outcome {
        self.container.start().await?;
        self.runs.store(true, Ordering::Relaxed);
        self.gate.open().await
    }

    pub(super) async fn pause(&self) -> Outcome {
        self.container.pause().await?;
        self.stands_still.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn resume(&self) -> Outcome {
        if self.stands_still.swap(false, Ordering::Relaxed) {
            self.container.unpause().await?;
        }
        Ok(())
    }

    /// Its address among the members; `None` while it does not run.
    pub(super) async fn peer_address(&self) -> Outcome<Option<String>> {
        let found = self.docker.inspect_container(self.container.id(), None).await?;
        let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let addresses = networks.into_values().filter_map(|network| network.ip_address);
        Ok(addresses.into_iter().find(|address| !address.is_empty()))
    }

    /// Nothing passes between it and the member at `peer`. While both directions need a route, one end suffices.
    pub(super) async fn lose_route_to(&self, peer: &str) -> Outcome {
        self.run(&["ip", "route", "add", "blackhole", peer]).await.map(drop)
    }

    /// Undoes every [`lose_route_to`](Self::lose_route_to).
    pub(super) async fn find_routes(&self) -> Outcome {
        let undo = "ip route | grep ^blackhole | while read -r route; do ip route del $route; done";
        self.run(&["sh", "-c", undo]).await.map(drop)
    }

    /// How many bytes its data takes.
    pub(super) async fn disk_usage(&self) -> Outcome<u64> {
        let answer = self.run(&["du", "-sk", "/data"]).await?;
        let kilobytes = answer.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        Ok(kilobytes.ok_or_else(|| Broken::harness(format!("du says {answer:?}")))? * 1024)
    }

    /// Runs a command in the container, and gives what it prints.
    pub(super) async fn run(&self, command: &[&str]) -> Outcome<String> {
        exec::run(&self.docker, self.container.id(), command).await
    }
}
