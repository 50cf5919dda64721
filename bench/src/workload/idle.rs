//! W14: what servers that nobody asks write to the disk.

use std::time::Duration;

use crate::Outcome;
use crate::load::Scene;
use crate::row::Figures;

const SECONDS_PER_HOUR: f64 = 3600.0;

pub(super) async fn measure(scene: &Scene<'_>, measured: Duration) -> Outcome<Figures> {
    tokio::time::sleep(scene.span.warm_up).await;
    let before = scene.look();
    tokio::time::sleep(measured).await;
    let spent = before.until(&scene.look());
    let servers = scene.cluster.processes();
    let per_hour = spent.written_bytes(&servers) / spent.seconds * SECONDS_PER_HOUR;
    let figures = Figures { foreign_cpu: Some(spent.foreign_share()), ..Figures::default() };
    Ok(figures
        .with("disk_mb_per_hour", per_hour / 1e6)
        .with("idle_cpu_ms_per_s", spent.cpu_us(&servers) / 1000.0 / spent.seconds))
}
