//! `cargo bench -p registry-raft`: what one operation of each part takes, in nanoseconds of this machine.

#![expect(clippy::expect_used, reason = "a scenario that is broken gives no figure")]

use std::error::Error;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use registry_raft::micro::{
    Append, AppendCodec, Apply, ApplyLocks, ApplyOfClient, Audience, BatchCodec, Broken, DecodeSnapshot,
    EncodeSnapshot, FanOut, Get, Place, Recover, Scenario, Size, State,
};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn main() -> Result<(), Box<dyn Error>> {
    let criterion = Criterion::default().sample_size(20);
    let criterion = criterion.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    let mut criterion = criterion.configure_from_args();
    let sizes = [
        ("1k-keys", Size { keys: 1_000, sessions: 10 }),
        ("100k-keys", Size { keys: 100_000, sessions: 10 }),
        ("10k-sessions", Size { keys: 1_000, sessions: 10_000 }),
    ];
    for (name, size) in sizes {
        let state = State::new(size)?;
        apply(&mut criterion.benchmark_group(format!("apply/{name}")), &state)?;
        snapshot(&mut criterion.benchmark_group(format!("snapshot/{name}")), &state);
    }
    codec(&mut criterion.benchmark_group("codec"));
    log(&mut criterion.benchmark_group("log"))?;
    fan_out(&mut criterion.benchmark_group("fan-out"))?;
    criterion.final_summary();
    Ok(())
}

fn apply(group: &mut Group<'_>, state: &State) -> Result<(), Broken> {
    bench(group, "put", Apply::put(state, 1));
    bench(group, "put-in-batch-of-64", Apply::put(state, 64));
    bench(group, "put-by-client", ApplyOfClient::put(state, 64)?);
    bench(group, "create", Apply::create(state));
    bench(group, "delete", Apply::delete(state));
    bench(group, "put-ephemeral", Apply::put_ephemeral(state));
    bench(group, "transaction", Apply::commit(state)?);
    bench(group, "lock-and-release", ApplyLocks::new(state));
    bench(group, "get", Get::new(state)?);
    Ok(())
}

fn snapshot(group: &mut Group<'_>, state: &State) {
    bench(group, "encode", EncodeSnapshot::new(state));
    bench(group, "decode", DecodeSnapshot::new(state));
}

fn codec(group: &mut Group<'_>) {
    for puts in [1, 64] {
        bench(group, &format!("batch/{puts}-puts"), BatchCodec::new(puts));
    }
    for entries in [1, 64] {
        bench(group, &format!("append/{entries}-entries"), AppendCodec::new(entries));
    }
}

fn log(group: &mut Group<'_>) -> Result<(), Box<dyn Error>> {
    // Below the build's own directory: the system's may be in memory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let on_disk = |name: &str| Place::Directory(directory.path().join(name));
    for records in [1, 64] {
        bench(group, &format!("append/{records}-in-memory"), Append::new(Place::Memory, records, 0)?);
        let name = format!("append/{records}-on-disk");
        bench(group, &name, Append::new(on_disk(&records.to_string()), records, 0)?);
    }
    bench(group, "recover/10k-in-memory", Recover::new(Place::Memory, 10_000)?);
    bench(group, "recover/10k-on-disk", Recover::new(on_disk("recover"), 10_000)?);
    Ok(())
}

fn fan_out(group: &mut Group<'_>) -> Result<(), Broken> {
    for subscribers in [1, 100, 1_000] {
        let audience = Audience { subscribers, others: 1_000 };
        bench(group, &format!("{subscribers}-subscribers"), FanOut::new(audience)?);
    }
    Ok(())
}

fn bench(group: &mut Group<'_>, name: &str, mut scenario: impl Scenario) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|operations| time(&mut scenario, operations).expect("a scenario that is not broken"));
    });
}

/// What so many operations take: whole rounds are measured, and what was too many is left out in proportion.
fn time(scenario: &mut impl Scenario, operations: u64) -> Result<Duration, Broken> {
    let rounds = operations.div_ceil(scenario.operations());
    let mut taken = Duration::ZERO;
    for _ in 0..rounds {
        scenario.prepare()?;
        let began = Instant::now();
        scenario.run()?;
        taken += began.elapsed();
    }
    Ok(taken.mul_f64(operations as f64 / (rounds * scenario.operations()) as f64))
}
