//! W10: sessions that do nothing: opening them, what they cost, and how soon they are gone after a crash.

use std::process::Stdio;
use std::time::{Duration, Instant};

use registry_api::{ListContents, ListOptions, RegistryClient, Scope};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::holder::{READY, ROOT};
use crate::load::Scene;
use crate::row::Figures;
use crate::{Outcome, line};

/// How long opening or expiry may take.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// At least a heartbeat of each session; in a full run several.
const IDLE_SPANS: u32 = 4;

pub(super) async fn measure(scene: &Scene<'_>, count: usize, connections: Option<usize>) -> Outcome<Figures> {
    let start = scene.look();
    let (mut holder, open_s) = hold(scene, count, connections).await?;
    let process = holder.id().ok_or("the holder of the sessions ended")?;
    let (before, taken_before) = (scene.look_also_at(&[process]), scene.cluster.requests().await);
    tokio::time::sleep(scene.span.measured * IDLE_SPANS).await;
    let (spent, taken) = (before.until(&scene.look_also_at(&[process])), scene.cluster.requests().await);
    let server_rss_mb = scene.resident_mb();
    let idle_cpu = spent.cpu_us(&scene.cluster.processes()) / 1000.0 / spent.seconds;
    holder.kill().await.map_err(line)?;
    let client = scene.cluster.connect().await?;
    let gone = gone(&client).await;
    let _ = client.close().await;
    let foreign_cpu = Some(start.until(&scene.look()).foreign_share());
    let mut figures = Figures { server_rss_mb, foreign_cpu, ..Figures::default() }
        .with("open_s", open_s)
        .with("idle_cpu_ms_per_s", idle_cpu)
        .with("gone_s", gone?.as_secs_f64());
    if let Some((after, before)) = taken.zip(taken_before) {
        figures = figures.with("idle_requests_per_s", (after - before) / spent.seconds);
    }
    Ok(figures)
}

/// A process that holds so many sessions, once it does, and how long it took to open them.
async fn hold(scene: &Scene<'_>, count: usize, connections: Option<usize>) -> Outcome<(Child, f64)> {
    let config = scene.directory.join("sessions.toml");
    std::fs::write(&config, scene.cluster.config()).map_err(line)?;
    let mut command = Command::new(std::env::current_exe().map_err(line)?);
    command.arg("hold").arg(&config).arg(count.to_string());
    if let Some(connections) = connections {
        command.arg("--connections").arg(connections.to_string());
    }
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut holder = pipes.spawn().map_err(line)?;
    let mut output = BufReader::new(holder.stdout.take().ok_or("no output")?).lines();
    let told = tokio::time::timeout(PATIENCE, output.next_line()).await;
    let told = told.map_err(|_late| format!("{count} sessions were not open within {PATIENCE:?}"))?.map_err(line)?;
    match told.as_deref().and_then(|told| told.strip_prefix(READY)?.parse().ok()) {
        Some(seconds) => Ok((holder, seconds)),
        None => Err(why(holder).await),
    }
}

/// The last line of a holder that ended.
async fn why(holder: Child) -> String {
    let output = holder.wait_with_output().await;
    let output = output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).unwrap_or_default();
    output.lines().last().unwrap_or("the holder of the sessions ended").trim_start_matches("failed: ").to_owned()
}

/// Waits until every key is gone; how long that took.
async fn gone(client: &RegistryClient) -> Outcome<Duration> {
    let start = Instant::now();
    let scope = Scope::Children(ROOT.parse().map_err(line)?);
    let options = ListOptions { contents: ListContents::KeysOnly, ..ListOptions::default() };
    loop {
        let left = client.list_with(&scope, options.clone()).await.map_err(line)?.children.len();
        if left == 0 {
            return Ok(start.elapsed());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{left} keys are still there {PATIENCE:?} after their owners died"));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
