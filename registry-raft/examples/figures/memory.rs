//! Memory of a member.

use registry_api::Key;
use tokio::task::JoinSet;

use crate::fleet::Fleet;

const KEYS: usize = 100_000;
const CALLERS: usize = 64;
const VALUE: [u8; 256] = [b'v'; 256];

pub(crate) async fn measure() {
    let fleet = Fleet::start(3).await;
    print("idle", &fleet);
    let client = fleet.client().await;
    let mut tasks = JoinSet::new();
    for caller in 0..CALLERS {
        let client = client.clone();
        tasks.spawn(async move {
            for number in (caller..KEYS).step_by(CALLERS) {
                let key: Key = format!("/bench/memory/{number:06}").parse().unwrap();
                client.put(&key, VALUE.as_slice()).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    print(&format!("{KEYS} keys of {} bytes", VALUE.len()), &fleet);
}

fn print(what: &str, fleet: &Fleet) {
    let resident: Vec<String> = fleet.pids().map(|pid| format!("{:.1} MB", resident_megabytes(pid))).collect();
    println!("{what}: resident memory of the members {}", resident.join(", "));
}

fn resident_megabytes(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running member");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes / 1000.0
}
