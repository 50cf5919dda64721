//! Whether elections stay away while every core is overloaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use registry_api::Key;

use super::keys::value;
use crate::cluster::{Cluster, Kind};
use crate::load::Scene;
use crate::row::Figures;
use crate::usage::as_float;
use crate::{Outcome, line, probe};

/// Busy loops for each core.
const LOOPS_PER_CORE: usize = 2;

pub(super) async fn measure(scene: &Scene<'_>, measured: Duration) -> Outcome<Figures> {
    let key: Key = "/bench/calm".parse().map_err(line)?;
    let client = scene.cluster.connect().await?;
    let (leader, term) = (scene.cluster.leader().await?, term(scene.cluster).await);
    let load = Load::start();
    let (start, mut puts, mut longest) = (Instant::now(), 0_u64, Duration::ZERO);
    while start.elapsed() < measured {
        let asked = Instant::now();
        client.put(&key, value()).await.map_err(line)?;
        longest = longest.max(asked.elapsed());
        puts += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    load.stop();
    let _ = client.close().await;
    // Who has no terms to compare has at least a leader.
    let changed = f64::from(u8::from(scene.cluster.leader().await? != leader));
    let elections = self::term(scene.cluster).await.zip(term).map_or(changed, |(after, before)| after - before);
    let figures = Figures { ops_per_s: Some(as_float(puts) / seconds), ..Figures::default() };
    Ok(figures.with("elections", elections).with("longest_ms", longest.as_secs_f64() * 1000.0))
}

async fn term(cluster: &Cluster) -> Option<f64> {
    match (cluster.kind(), cluster.addresses().first()) {
        (Kind::Raft, Some(address)) => probe::term(address).await,
        _ => None,
    }
}

struct Load {
    running: Arc<AtomicBool>,
    loops: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let running = Arc::new(AtomicBool::new(true));
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let busy = |_| {
            let running = Arc::clone(&running);
            thread::spawn(move || {
                while running.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let loops = (0..cores * LOOPS_PER_CORE).map(busy).collect();
        Self { running, loops }
    }

    fn stop(self) {
        self.running.store(false, Ordering::Relaxed);
        for busy in self.loops {
            let _ = busy.join();
        }
    }
}
