//! W11: kill -9 of the leader while 16 callers write: the longest time without a successful write.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use registry_api::{Key, RegistryClient};
use tokio::task::JoinSet;

use super::keys::value;
use crate::load::Scene;
use crate::row::Figures;
use crate::{Outcome, line};

const CALLERS: usize = 16;
/// After the first success, in case that it was the last for a while.
const AFTERWARDS: Duration = Duration::from_secs(2);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
const RETRY_INTERVAL: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn measure(scene: &mut Scene<'_>, kills: usize) -> Outcome<Figures> {
    // Servers that were started again before may serve before all of them are there.
    scene.cluster.complete().await?;
    let client = scene.cluster.connect().await?;
    let writes = Arc::new(Mutex::new(Writes::from_now()));
    let mut tasks = JoinSet::new();
    for caller in 0..CALLERS {
        let key: Key = format!("/bench/failover/{caller}").parse().map_err(line)?;
        tasks.spawn(write_again(client.clone(), key, Arc::clone(&writes)));
    }
    let mut gaps = Vec::new();
    for _ in 0..kills {
        gaps.push(one(scene, &writes).await?.as_secs_f64() * 1000.0);
    }
    tasks.shutdown().await;
    let _ = client.close().await;
    gaps.sort_by(f64::total_cmp);
    let median = gaps.get(gaps.len() / 2).copied().ok_or("nobody was killed")?;
    let worst = gaps.last().copied().unwrap_or(median);
    Ok(Figures::default().with("gap_ms", median).with("gap_worst_ms", worst).with("kills", gaps.len() as f64))
}

/// Kills whoever leads, and brings it back; the longest gap meanwhile.
async fn one(scene: &mut Scene<'_>, writes: &Mutex<Writes>) -> Outcome<Duration> {
    let leader = scene.cluster.leader().await?;
    let at = |writes: &Mutex<Writes>| writes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    writes.lock().unwrap_or_else(PoisonError::into_inner).longest = Duration::ZERO;
    let killed = Instant::now();
    scene.cluster.kill(&[leader]).await?;
    // A write that was on its way when the leader died is none of the next leader's.
    while at(writes).last < killed + LOOK_INTERVAL {
        if killed.elapsed() > PATIENCE {
            let why = at(writes).failure;
            return Err(format!("no write succeeded within {PATIENCE:?} after the death of the leader: {why}"));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    tokio::time::sleep(AFTERWARDS).await;
    let gap = at(writes).longest;
    scene.cluster.start(&[leader]).await?;
    scene.cluster.complete().await?;
    Ok(gap)
}

#[derive(Clone)]
struct Writes {
    last: Instant,
    longest: Duration,
    /// The last one, for those who have to find out why.
    failure: String,
}

impl Writes {
    fn from_now() -> Self {
        Self { last: Instant::now(), longest: Duration::ZERO, failure: String::new() }
    }

    fn succeeded(&mut self) {
        let now = Instant::now();
        self.longest = self.longest.max(now.duration_since(self.last));
        self.last = now;
    }
}

/// Writes for ever; what fails is simply tried again.
async fn write_again(client: RegistryClient, key: Key, writes: Arc<Mutex<Writes>>) {
    loop {
        match client.put(&key, value()).await {
            Ok(_) => writes.lock().unwrap_or_else(PoisonError::into_inner).succeeded(),
            Err(error) => {
                writes.lock().unwrap_or_else(PoisonError::into_inner).failure = error.to_string();
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }
}
