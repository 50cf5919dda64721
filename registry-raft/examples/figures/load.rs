//! Throughput, latency and processor time of puts and linearizable gets.

use std::time::{Duration, Instant};

use registry_api::{Key, RegistryClient};
use tokio::task::JoinSet;

use crate::fleet::Fleet;
use crate::quantile;

/// Callers and the connections that they share.
const ROWS: [(usize, usize); 5] = [(1, 1), (16, 1), (64, 1), (256, 1), (256, 16)];
const VALUE: [u8; 256] = [b'v'; 256];
/// Keys of one caller.
const KEYS: usize = 1000;

/// What the callers do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    Put,
    Get,
}

pub(crate) async fn measure(load: Load, callers_only: Option<usize>, duration: Duration) {
    let fleet = Fleet::start(3).await;
    println!(
        "{:>8} {:>12} {:>10} {:>8} {:>8} {:>8} {:>12} {:>11} {:>12} {:>11}",
        "callers",
        "connections",
        "op/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "members us",
        "client us",
        "writes/op",
        "cs/op"
    );
    for (callers, connections) in
        ROWS.into_iter().filter(|(callers, _)| callers_only.is_none_or(|only| only == *callers))
    {
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(fleet.client().await);
        }
        if matches!(load, Load::Get) {
            clients.first().expect("a client").put(&key(0, 0), VALUE.as_slice()).await.unwrap();
        }
        let before = Spent::now(&fleet);
        let mut latencies = run(load, &clients, callers, duration).await;
        let spent = Spent::now(&fleet);
        latencies.sort_unstable();
        let done = latencies.len() as f64;
        println!(
            "{callers:>8} {connections:>12} {:>10.0} {:>8} {:>8} {:>8} {:>12.1} {:>11.1} {:>12.3} {:>11.2}",
            done / duration.as_secs_f64(),
            quantile(&latencies, 0.5).as_micros(),
            quantile(&latencies, 0.99).as_micros(),
            quantile(&latencies, 0.999).as_micros(),
            (spent.members - before.members) as f64 / done,
            (spent.client - before.client) as f64 / done,
            (spent.writes - before.writes) as f64 / done,
            (spent.switches - before.switches) as f64 / done,
        );
    }
}

async fn run(load: Load, clients: &[RegistryClient], callers: usize, duration: Duration) -> Vec<Duration> {
    let mut tasks = JoinSet::new();
    let end = Instant::now() + duration;
    for caller in 0..callers {
        let client = clients.get(caller % clients.len()).expect("a client").clone();
        tasks.spawn(call(load, client, caller, end));
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

async fn call(load: Load, client: RegistryClient, caller: usize, end: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let mut number = 0_usize;
    while Instant::now() < end {
        let start = Instant::now();
        match load {
            Load::Put => drop(client.put(&key(caller, number % KEYS), VALUE.as_slice()).await.unwrap()),
            Load::Get => drop(client.get(&key(0, 0)).await.unwrap()),
        }
        latencies.push(start.elapsed());
        number += 1;
    }
    latencies
}

fn key(caller: usize, number: usize) -> Key {
    format!("/bench/{caller}/{number}").parse().unwrap()
}

/// What was spent so far.
struct Spent {
    /// Processor time of all members, in microseconds.
    members: u64,
    /// Processor time of this process, in microseconds.
    client: u64,
    /// Calls of all members that write.
    writes: u64,
    /// Context switches of all threads of the members.
    switches: u64,
}

impl Spent {
    fn now(fleet: &Fleet) -> Self {
        let members: Vec<String> = fleet.pids().map(|pid| format!("/proc/{pid}")).collect();
        Self {
            members: members.iter().map(|member| processor_time(member)).sum(),
            client: processor_time("/proc/self"),
            writes: members.iter().map(|member| field(&format!("{member}/io"), "syscw:")).sum(),
            switches: members.iter().map(|member| switches(member)).sum(),
        }
    }
}

/// User and system time of a process, all its threads together.
fn processor_time(process: &str) -> u64 {
    threads(process)
        .map(|thread| {
            // Nanoseconds on a processor, the first of three numbers.
            let spent = std::fs::read_to_string(format!("{thread}/schedstat")).unwrap_or_default();
            spent.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or_default() / 1000
        })
        .sum()
}

fn switches(process: &str) -> u64 {
    threads(process)
        .map(|thread| {
            let status = format!("{thread}/status");
            field(&status, "voluntary_ctxt_switches:") + field(&status, "nonvoluntary_ctxt_switches:")
        })
        .sum()
}

fn threads(process: &str) -> impl Iterator<Item = String> {
    let tasks = std::fs::read_dir(format!("{process}/task")).expect("a running process");
    tasks.filter_map(|task| Some(task.ok()?.path().to_str()?.to_owned()))
}

/// The number after `name` at the start of a line; 0 where there is none.
fn field(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}
