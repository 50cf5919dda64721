//! From kill -9 of the leader to the next successful write.

use std::time::{Duration, Instant};

use registry_api::Key;

use crate::fleet::{Fleet, eventually};
use crate::quantile;

pub(crate) async fn measure(repeats: usize) {
    let mut fleet = Fleet::start(3).await;
    let client = fleet.client().await;
    let key: Key = "/bench/failover".parse().unwrap();
    let mut gaps = Vec::new();
    for repeat in 1..=repeats {
        client.put(&key, "before").await.unwrap();
        let (leader, term) = fleet.leader().await;
        fleet.kill([leader]).await;
        let killed = Instant::now();
        eventually("a successful put", async || client.put(&key, "after").await.ok()).await;
        let gap = killed.elapsed();
        println!(
            "{repeat:>4}: member {leader} killed in term {term}; next successful put after {} ms",
            gap.as_millis()
        );
        gaps.push(gap);
        fleet.restart([leader]).await;
        fleet.caught_up(leader).await;
    }
    gaps.sort_unstable();
    let worst = gaps.last().copied().unwrap_or(Duration::ZERO);
    println!("median {} ms, worst {} ms of {repeats}", quantile(&gaps, 0.5).as_millis(), worst.as_millis());
}
