//! The plugin: `backend = "zookeeper"`.

use std::sync::Arc;

use async_trait::async_trait;
use figment::Figment;
use registry_api::{Plugin, Registry, Result};

use crate::error::BACKEND;
use crate::{ZooKeeperRegistry, ZooKeeperSettings};

/// Connects `backend = "zookeeper"` from the section `[registry.zookeeper]` (see [`ZooKeeperSettings`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct ZooKeeperPlugin;

#[async_trait]
impl Plugin for ZooKeeperPlugin {
    fn name(&self) -> &'static str {
        BACKEND
    }

    async fn connect(&self, settings: Figment) -> Result<Arc<dyn Registry>> {
        Ok(Arc::new(ZooKeeperRegistry::connect(ZooKeeperSettings::read(&settings)?).await?))
    }
}
