//! W5: ephemeral keys that are created and deleted again; both together are one operation.

use std::time::Duration;

use async_trait::async_trait;
use registry_api::{Key, RegistryClient, Session};

use crate::load::{Caller, Scene, timed};
use crate::row::Figures;
use crate::{Outcome, line};

pub(super) async fn measure(scene: &Scene<'_>, callers: usize) -> Outcome<Figures> {
    let client = scene.cluster.connect().await?;
    let session = client.open_session(client.session_options()).await.map_err(line)?;
    let mut all: Vec<Box<dyn Caller>> = Vec::new();
    for number in 0..callers {
        let key = format!("/bench/ephemeral/{number}").parse().map_err(line)?;
        all.push(Box::new(Coming { client: client.clone(), session: session.clone(), key }));
    }
    let figures = scene.run(all).await;
    let _ = session.close().await;
    let _ = client.close().await;
    figures
}

struct Coming {
    client: RegistryClient,
    session: Session,
    key: Key,
}

#[async_trait]
impl Caller for Coming {
    async fn call(&mut self) -> Outcome<Duration> {
        timed(async {
            self.session.put(&self.key, "here").await.map_err(line)?;
            self.client.delete(&self.key).await.map_err(line)
        })
        .await
    }
}
