//! One server, set up in any way, and programs of others beside it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use testcontainers::core::IntoContainerPort as _;
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};

use super::docker;
use super::ensemble::Ensemble;
use super::exec;
use super::setup::Setup;
use super::software::Software;
use crate::{Broken, Outcome};

/// The image with clients that others wrote.
const PROGRAMS: (&str, &str) = ("registry-test/interop", "trixie");

/// One server in a container of its own, removed when this is dropped.
#[derive(Clone, Debug)]
pub struct Server(Arc<Ensemble>);

impl Server {
    /// Starts a fresh one, and returns when it serves.
    pub async fn start(software: Software) -> Outcome<Self> {
        Self::start_with(&Setup::of(software)).await
    }

    /// As [`start`](Self::start), set up like this.
    pub async fn start_with(setup: &Setup) -> Outcome<Self> {
        Ok(Self(Arc::new(Ensemble::launch(setup, 1).await?)))
    }

    /// Where clients of this machine reach it, `host:port`.
    pub fn address(&self) -> Outcome<String> {
        Ok(self.0.member(0)?.gate.address())
    }

    /// How many requests of clients it has taken since it runs.
    pub(super) async fn requests(&self) -> Outcome<u64> {
        self.0.member(0)?.requests().await
    }

    /// Ends every connection of clients with a reset; new ones pass.
    pub fn reset_clients(&self) -> Outcome {
        self.0.member(0)?.gate.reset();
        Ok(())
    }

    /// The server leaves its address, and is reached at this one, with the same port, from here on: connections end, and
    /// the old address refuses new ones.
    pub async fn move_to(&self, host: Ipv4Addr) -> Outcome {
        self.0.member(0)?.gate.move_to(host).await
    }

    /// Runs a program of the server's image in its container until it ends, and gives what it prints.
    ///
    /// # Errors
    ///
    /// When it ends with anything but 0, with what it said.
    pub async fn run(&self, command: &[&str]) -> Outcome<String> {
        self.0.member(0)?.run(command).await
    }

    /// A container with Python, kazoo, Java and Curator, which reaches the server at [`Programs::server`].
    pub async fn programs(&self) -> Outcome<Programs> {
        let (image, tag) = PROGRAMS;
        if docker::docker().await?.inspect_image(&format!("{image}:{tag}")).await.is_err() {
            let text = format!("there is no image {image}:{tag}: `cargo xtask images --interop` builds it");
            return Err(Broken::harness(text));
        }
        let member = self.0.member(0)?;
        let container = GenericImage::new(image, tag)
            .with_exposed_port(1.tcp())
            .with_network(member.network())
            .with_label(docker::LABEL, docker::owner())
            // Waits until it is removed, and runs what it is told to meanwhile.
            .with_cmd(["-c", "mkfifo /tmp/never && exec cat /tmp/never"])
            .start()
            .await?;
        Ok(Programs { container: Arc::new(container), server: member.peer_name(), _alive: self.clone() })
    }
}

/// A container with programs of others, removed when this is dropped.
#[derive(Clone, Debug)]
pub struct Programs {
    container: Arc<ContainerAsync<GenericImage>>,
    server: String,
    /// The server outlives its clients.
    _alive: Server,
}

impl Programs {
    /// Where the programs reach the server, `host:port`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// As [`Server::run`], in this container.
    pub async fn run(&self, command: &[&str]) -> Outcome<String> {
        exec::run(&docker::docker().await?, self.container.id(), command).await
    }

    /// Puts a file into the container.
    pub async fn write(&self, path: &str, text: &str) -> Outcome {
        self.run(&["sh", "-c", "printf %s \"$1\" > \"$0\"", path, text]).await.map(drop)
    }
}
