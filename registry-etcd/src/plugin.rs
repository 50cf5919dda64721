//! The plugin: `backend = "etcd"`.

use std::sync::Arc;

use async_trait::async_trait;
use figment::Figment;
use registry_api::{Plugin, Registry, Result};

use crate::error::BACKEND;
use crate::{EtcdRegistry, EtcdSettings};

/// Connects `backend = "etcd"` from the section `[registry.etcd]` (see [`EtcdSettings`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct EtcdPlugin;

#[async_trait]
impl Plugin for EtcdPlugin {
    fn name(&self) -> &'static str {
        BACKEND
    }

    async fn connect(&self, settings: Figment) -> Result<Arc<dyn Registry>> {
        Ok(Arc::new(EtcdRegistry::connect(EtcdSettings::read(&settings)?).await?))
    }
}
