//! W12: the memory of a server, idle and with many keys.

use super::fill::fill;
use crate::Outcome;
use crate::load::Scene;
use crate::row::Figures;

pub(super) async fn measure(scene: &Scene<'_>, keys: usize) -> Outcome<Figures> {
    let start = scene.look();
    tokio::time::sleep(scene.span.warm_up).await;
    let idle = scene.resident_mb().ok_or("the memory of the servers cannot be read")?;
    let client = scene.cluster.connect().await?;
    let filled = fill(&client, keys).await;
    let _ = client.close().await;
    filled?;
    tokio::time::sleep(scene.span.warm_up).await;
    let foreign_cpu = Some(start.until(&scene.look()).foreign_share());
    let figures = Figures { server_rss_mb: scene.resident_mb(), foreign_cpu, ..Figures::default() };
    Ok(figures.with("idle_rss_mb", idle))
}
