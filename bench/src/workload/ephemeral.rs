//! W5: ephemeral keys that are created and deleted again; both together are one operation.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_api::Key;

use super::Path;
use super::keys::connect;
use crate::load::{Caller, Scene, timed};
use crate::row::Figures;
use crate::store::Store;
use crate::{Outcome, line};

pub(super) async fn measure(scene: &Scene<'_>, path: Path, callers: usize) -> Outcome<Figures> {
    let store = connect(scene, path).await?;
    let mut all: Vec<Box<dyn Caller>> = Vec::new();
    for number in 0..callers {
        let key = format!("/bench/ephemeral/{number}").parse().map_err(line)?;
        all.push(Box::new(Coming { store: Arc::clone(&store), key }));
    }
    let figures = scene.run(all).await;
    store.close().await;
    figures
}

struct Coming {
    store: Arc<dyn Store>,
    key: Key,
}

#[async_trait]
impl Caller for Coming {
    async fn call(&mut self) -> Outcome<Duration> {
        timed(self.store.come_and_go(&self.key)).await
    }
}
