//! The reference as a plugin: `backend = "memory"`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use figment::Figment;

use super::{MemoryOptions, MemoryStore};
use crate::{Plugin, Registry, Result, settings};

/// `backend = "memory"`: an empty store of its own for each connection, gone with the process. Its section has no keys
/// but the inherited `request_timeout`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryPlugin;

#[derive(serde::Deserialize)]
struct Section {
    #[serde(deserialize_with = "settings::duration")]
    request_timeout: Duration,
}

#[async_trait]
impl Plugin for MemoryPlugin {
    fn name(&self) -> &'static str {
        super::registry::BACKEND
    }

    async fn connect(&self, settings: Figment) -> Result<Arc<dyn Registry>> {
        let section: Section = settings::extract(&settings, "registry.memory", &["request_timeout", "session_ttl"])?;
        let options = MemoryOptions { request_timeout: section.request_timeout, ..MemoryOptions::default() };
        Ok(MemoryStore::with_options(options).client())
    }
}
