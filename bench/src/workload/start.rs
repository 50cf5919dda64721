//! W13: from the start of all servers to the first successful write, without data and with a lot of it.

use std::time::Instant;

use super::fill::{fill, key};
use crate::load::Scene;
use crate::row::Figures;
use crate::{Outcome, line};

pub(super) async fn from_nothing(scene: &mut Scene<'_>) -> Outcome<Figures> {
    scene.cluster.clear().await?;
    let start = Instant::now();
    scene.cluster.launch().await?;
    scene.cluster.serving().await?;
    Ok(Figures::default().with("start_s", start.elapsed().as_secs_f64()))
}

pub(super) async fn with_keys(scene: &mut Scene<'_>, keys: usize) -> Outcome<Figures> {
    let client = scene.cluster.connect().await?;
    let filled = fill(&client, keys).await;
    let _ = client.close().await;
    filled?;
    let all: Vec<usize> = (0..scene.cluster.addresses().len()).collect();
    scene.cluster.kill(&all).await?;
    let start = Instant::now();
    scene.cluster.start(&all).await?;
    scene.cluster.serving().await?;
    let figures = Figures::default().with("restart_s", start.elapsed().as_secs_f64());
    let client = scene.cluster.connect().await?;
    let last = client.get(&key(keys - 1)?).await.map_err(line)?;
    let _ = client.close().await;
    last.map(|_| figures).ok_or_else(|| "what was written is not there after the restart".to_owned())
}
