//! Configuration in layers: defaults, the file, the environment, the flags; later ones win, unknown keys are refused.

mod layers;
mod settings;

use figment::Figment;

use crate::cli::Connect;
use crate::exit::Failure;
use crate::name::Name;

pub use settings::{ApiSettings, MasterSettings, OnRegistryLost, SchedulerSettings, WorkerSettings};

/// What a process runs as; decides the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// A master.
    Master,
    /// A worker.
    Worker,
    /// An API server.
    Api,
    /// A command that connects, does one thing and ends.
    Command,
}

impl Process {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Worker => "worker",
            Self::Api => "api",
            Self::Command => "command",
        }
    }
}

/// A configuration that was read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Section `[registry]`, for the plugins.
    pub registry: Figment,
    /// Section `[scheduler]`.
    pub scheduler: SchedulerSettings,
    /// `scheduler.name`, or the default made of role, host and process.
    pub name: Name,
}

impl Config {
    /// Reads all layers.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the exit code of a wrong configuration; one line names the key and where it was set.
    pub fn load(process: Process, connect: &Connect) -> Result<Self, Failure> {
        Self::of(process, layers::figment(process, connect)?)
    }

    fn of(process: Process, figment: Figment) -> Result<Self, Failure> {
        let sections: settings::Sections = figment.extract().map_err(|error| layers::explain(&error))?;
        let scheduler = sections.scheduler;
        scheduler.check()?;
        let name = match &scheduler.name {
            Some(name) => name.clone(),
            None => default_name(process),
        };
        let figment = layers::with_label(figment, &format!("{} {name}", process.as_str()));
        Ok(Self { registry: figment.focus("registry"), scheduler, name })
    }
}

fn default_name(process: Process) -> Name {
    let host = sysinfo::System::host_name().unwrap_or_else(|| "localhost".to_owned());
    let host: String = host.chars().take(32).collect();
    Name::lossy(&format!("{}-{host}-{}", process.as_str(), std::process::id()))
}
