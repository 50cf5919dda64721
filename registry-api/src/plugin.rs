//! Plugins: backends that are chosen by one configuration key.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use figment::Figment;

use crate::settings::{self, nearest};
use crate::{Effect, Error, ErrorKind, Operation, Registry, RegistryClient, RegistrySettings, Result};

/// How a backend joins: a name for the configuration key `backend`, and how to connect from its section.
#[async_trait]
pub trait Plugin: Send + Sync + 'static {
    /// The name that `backend = ".."` chooses it by; its settings are the section of that name.
    fn name(&self) -> &'static str;

    /// Connects. `settings` is focused on the plugin's own section (`[registry.NAME]`, empty where there is none), with
    /// `request_timeout` and `session_ttl` of `[registry]` filled in where the section does not set its own (the ttl to be
    /// checked against what the backend can keep). Read it with
    /// [`settings::extract`], which refuses unknown keys.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration) for settings that cannot be right, and whatever connecting meets.
    async fn connect(&self, settings: Figment) -> Result<Arc<dyn Registry>>;
}

/// The backends that a program knows.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use figment::Figment;
/// use figment::providers::{Format, Toml};
/// use registry_api::{Plugins, memory::MemoryPlugin};
///
/// let file = Toml::string("[registry]\nbackend = \"memory\"\nnamespace = \"/scheduler\"");
/// let client = Plugins::new().with(MemoryPlugin).connect(Figment::from(file).focus("registry")).await?;
/// assert_eq!(client.backend(), "memory");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Plugins {
    known: BTreeMap<&'static str, Box<dyn Plugin>>,
}

impl Plugins {
    /// No backend yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// And this one. A plugin of the same name replaces the one before.
    #[must_use]
    pub fn with(mut self, plugin: impl Plugin) -> Self {
        self.known.insert(plugin.name(), Box::new(plugin));
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.known.keys().copied()
    }

    /// Connects to the backend that the settings name, and applies the namespace. `settings` is focused on the section
    /// `[registry]`.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration): an unknown key (the nearest known one and the source are named), an
    /// unknown backend (the known ones are named), values that contradict each other (both are named). Whatever
    /// connecting meets.
    pub async fn connect(&self, settings: Figment) -> Result<RegistryClient> {
        let sections: Vec<_> = self.names().collect();
        let general = RegistrySettings::read(&settings, &sections)?;
        let Some(plugin) = self.known.get(general.backend.as_str()) else {
            return Err(self.unknown_backend(&general.backend, &settings));
        };
        let section = settings.focus(plugin.name());
        let inherited = settings::inherited(&general);
        let registry = plugin.connect(section.join(inherited)).await?;
        let client = RegistryClient::with_options(registry, general.client_options());
        Ok(match &general.namespace {
            Some(namespace) => client.namespaced(namespace),
            None => client,
        })
    }

    fn unknown_backend(&self, name: &str, settings: &Figment) -> Error {
        let source = settings::source_of(settings, "registry", "backend");
        let known: Vec<_> = self.names().collect();
        let nearest = nearest(name, known.iter().copied()).map(|near| format!(": did you mean {near:?}?"));
        let message = format!(
            "unknown backend {name:?} ({source}){}; the known ones are: {}",
            nearest.unwrap_or_default(),
            known.join(", ")
        );
        Error::new(ErrorKind::Configuration, Effect::NotApplied, Operation::Connect, "registry", message)
    }
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.names()).finish()
    }
}
