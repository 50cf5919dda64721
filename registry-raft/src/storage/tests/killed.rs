//! A process that is killed loses nothing that it acknowledged: real files, a real `kill -9`.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use super::*;

/// Set for the process that is killed, to its data directory.
const VICTIM: &str = "REGISTRY_TEST_VICTIM_DIR";
const WRITTEN_BEFORE_KILL: usize = 300;

/// Not a requirement of its own: what the killed process runs. Writes until it dies and reports what is acknowledged.
#[test]
fn victim_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let options = StorageOptions { writer: Writer::Thread, segment_bytes: 64 << 10, ..small() };
    let storage = Storage::open(path.as_ref(), IDENTITY, Opening::CreateOrOpen, options).expect("opens");
    let first = storage.log().state().last.map_or(0, |last| last.index + 1);
    for index in first.. {
        let done: Done = Box::new(move |result| {
            result.expect("durable");
            // One write per line, straight to the pipe.
            std::io::stderr().write_all(format!("acknowledged {index}\n").as_bytes()).expect("reported");
        });
        storage.log().append(vec![record(index, 1, index.to_le_bytes())], done).expect("accepted");
        if index % 64 == 0 {
            durable(|done| storage.log().save_vote(Vote { term: index, node: 7, committed: true }, done))
                .expect("saved");
        }
    }
}

fn run_victim(path: &std::path::Path) -> u64 {
    let mut victim = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "storage::tests::killed::victim_writes_until_it_is_killed", "--nocapture"])
        .env(VICTIM, path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(victim.stderr.take().expect("piped")).lines();
    let index = |line: String| line.strip_prefix("acknowledged ").and_then(|index| index.parse::<u64>().ok());
    let mut acknowledged =
        lines.by_ref().map_while(std::io::Result::ok).filter_map(index).take(WRITTEN_BEFORE_KILL).last();
    victim.kill().expect("killed");
    victim.wait().expect("ended");
    // What was still in the pipe was acknowledged too.
    acknowledged = lines.map_while(std::io::Result::ok).filter_map(index).last().or(acknowledged);
    acknowledged.expect("something was acknowledged")
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let parent = tempfile::tempdir().expect("a directory");
    let path = parent.path().join("data");
    let mut last = None;
    for round in 0..4 {
        let acknowledged = run_victim(&path);
        assert!(last < Some(acknowledged), "round {round} made progress");
        last = Some(acknowledged);

        let storage = Storage::open(&path, IDENTITY, Opening::OpenExisting, small()).expect("opens");
        let records = payloads(storage.log());

        assert!(records.len() as u64 > acknowledged, "{} records, {acknowledged} was acknowledged", records.len());
        assert!(records.iter().all(|(index, _, payload)| payload[..] == index.to_le_bytes()));
        assert!(storage.log().vote().is_some());
    }
}
