//! Whether elections stay away while every core is overloaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use registry_api::Key;

use crate::fleet::Fleet;

/// Busy loops for each core.
const LOOPS_PER_CORE: usize = 2;

pub(crate) async fn measure(duration: Duration) {
    let fleet = Fleet::start(3).await;
    let client = fleet.client().await;
    let key: Key = "/bench/calm".parse().unwrap();
    client.put(&key, "before").await.unwrap();
    let before = fleet.leader().await;
    let load = Load::start();
    let (end, mut puts, mut longest) = (Instant::now() + duration, 0_u64, Duration::ZERO);
    while Instant::now() < end {
        let start = Instant::now();
        client.put(&key, "under load").await.unwrap();
        longest = longest.max(start.elapsed());
        puts += 1;
    }
    load.stop();
    let after = fleet.leader().await;
    println!(
        "{} s of full load: {puts} puts, the longest {} ms; leader and term before {before:?}, after {after:?}: {}",
        duration.as_secs(),
        longest.as_millis(),
        if before == after { "no election" } else { "ELECTIONS" }
    );
    assert_eq!(before, after, "a false election");
}

struct Load {
    running: Arc<AtomicBool>,
    loops: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let running = Arc::new(AtomicBool::new(true));
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let loops = (0..cores * LOOPS_PER_CORE)
            .map(|_| {
                let running = running.clone();
                thread::spawn(move || {
                    while running.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        Self { running, loops }
    }

    fn stop(self) {
        self.running.store(false, Ordering::Relaxed);
        for busy in self.loops {
            busy.join().expect("a busy loop");
        }
    }
}
