//! Throughput and latency of puts.

use std::time::{Duration, Instant};

use registry_api::{Key, RegistryClient};
use tokio::task::JoinSet;

use crate::fleet::Fleet;
use crate::quantile;

/// Callers and the connections that they share.
const ROWS: [(usize, usize); 5] = [(1, 1), (16, 1), (64, 1), (256, 1), (256, 16)];
const VALUE: [u8; 256] = [b'v'; 256];

pub(crate) async fn measure(duration: Duration) {
    let fleet = Fleet::start(3).await;
    println!(
        "{:>8} {:>12} {:>10} {:>10} {:>10} {:>10}",
        "callers", "connections", "puts/s", "p50 us", "p99 us", "p99.9 us"
    );
    for (callers, connections) in ROWS {
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(fleet.client().await);
        }
        let mut latencies = run(&clients, callers, duration).await;
        latencies.sort_unstable();
        println!(
            "{callers:>8} {connections:>12} {:>10.0} {:>10} {:>10} {:>10}",
            latencies.len() as f64 / duration.as_secs_f64(),
            quantile(&latencies, 0.5).as_micros(),
            quantile(&latencies, 0.99).as_micros(),
            quantile(&latencies, 0.999).as_micros(),
        );
    }
}

async fn run(clients: &[RegistryClient], callers: usize, duration: Duration) -> Vec<Duration> {
    let mut tasks = JoinSet::new();
    let end = Instant::now() + duration;
    for caller in 0..callers {
        let client = clients.get(caller % clients.len()).expect("a client").clone();
        tasks.spawn(call(client, caller, end));
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

async fn call(client: RegistryClient, caller: usize, end: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let mut number = 0_usize;
    while Instant::now() < end {
        let key: Key = format!("/bench/{caller}/{}", number % 1000).parse().unwrap();
        let start = Instant::now();
        client.put(&key, VALUE.as_slice()).await.unwrap();
        latencies.push(start.elapsed());
        number += 1;
    }
    latencies
}
