//! Losing the registry: what stops, what waits, and what is refused afterwards.

use std::time::Duration;

use registry_api::memory::Reachability;
use scheduler::config::OnRegistryLost;
use scheduler::duration::Span;
use scheduler::exit::Code;

use crate::bench::{Bench, assert_accepted_once, attempt, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_cut_off_kills_its_tasks_before_anybody_else_runs_them() {
    let bench = Bench::new();
    let _master = bench.master("m1");
    let cut = bench.worker("w1");
    let log = bench.log().await;
    // Writes its heartbeat into the log until it is killed.
    let command = format!(
        "echo begun-$ATTEMPT >> {log}; test $ATTEMPT = 2 || while :; do echo alive-1 >> {log}; sleep 0.02; done"
    );
    let instance = bench.submit(&[&format!("id = 'a'\ncommand = '{command}'")]).await;
    log.line("begun-1").await;

    cut.cut();
    let _other = bench.worker("w2");
    let ended = bench.ended(&instance).await;

    assert_accepted_once(&ended);
    log.line("begun-2").await;
    let after = log.lines().iter().skip_while(|line| *line != "begun-2").filter(|line| *line == "alive-1").count();
    assert_eq!(after, 0, "the first attempt lived on beside the second");
    assert_eq!(attempt(&ended, "a", 1).state, "lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_waits_carries_on_when_the_registry_is_back() {
    let bench = Bench::new();
    let _master = bench.master("m1");
    let worker = bench.worker("w1");
    let log = bench.log().await;
    let command = format!("echo begun-$ATTEMPT >> {log}; test $ATTEMPT = 2 || sleep 60");
    let instance = bench.submit(&[&format!("id = 'a'\ncommand = '{command}'")]).await;
    log.line("begun-1").await;

    worker.cut();
    bench.until("the attempt is lost", &instance, |view| attempt(view, "a", 1).state == "lost").await;
    worker.mend();

    let ended = bench.ended(&instance).await;
    assert_accepted_once(&ended);
    assert_eq!(attempt(&ended, "a", 2).worker.as_str(), "w1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stops_says_so() {
    let bench = Bench::new();
    let worker = bench.worker_with("w1", |settings| settings.on_registry_lost = OnRegistryLost::Stop);
    bench.eventually("it is there", async |reader| reader.workers().await.unwrap().pop()).await;

    worker.cut();

    let failure = worker.end().await.unwrap_err();
    assert_eq!(failure.code(), Code::RegistryLost);
    assert!(failure.to_string().starts_with("worker w1 stops: the registry could not be reached"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_stops_says_so_and_one_that_waits_carries_on() {
    let bench = Bench::new();
    let stops = bench.master_with("m1", |settings| settings.on_registry_lost = OnRegistryLost::Stop);
    let waits = bench.master("m2");
    let _worker = bench.worker("w1");
    bench.eventually("both are there", async |reader| (reader.members().await.unwrap().len() == 2).then_some(())).await;

    stops.cut();
    waits.cut();

    assert_eq!(stops.end().await.unwrap_err().code(), Code::RegistryLost);
    bench.eventually("nobody is left", async |reader| reader.members().await.unwrap().is_empty().then_some(())).await;
    let instance = bench.submit(&["id = 'a'\ncommand = 'true'"]).await;
    waits.mend();
    assert_accepted_once(&bench.ended(&instance).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_comes_too_late_is_refused_and_kept_as_that() {
    let bench = Bench::new();
    let _master = bench.master("m1");
    let slow = bench.worker("w1");
    let (log, go) = (bench.log().await, bench.file("go"));
    let command = format!("echo begun-$WORKER >> {log}; test $WORKER = w2 || until test -e {go}; do sleep 0.01; done");
    let instance = bench.submit(&[&format!("id = 'a'\ncommand = '{command}'")]).await;
    log.line("begun-w1").await;

    // The command ends while its worker cannot report any more, but does not know yet that it is dead.
    slow.registry.set_reachable(Reachability::Refusing);
    std::fs::write(go, "").unwrap();
    let _other = bench.worker("w2");
    let ended = bench.ended(&instance).await;
    slow.mend();

    assert_accepted_once(&ended);
    let refused = bench.eventually("it is refused", async |reader| reader.refused().await.unwrap().pop()).await;
    assert_eq!((refused.task.as_str(), refused.attempt, refused.worker.as_str()), ("a", 1, "w1"));
    let now = bench.until("nothing has changed", &instance, |_| true).await;
    assert_eq!(task(&now, "a"), task(&ended, "a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_of_one_name_are_refused() {
    let bench = Bench::new();
    let _first = bench.worker("w1");
    bench.eventually("it is there", async |reader| reader.workers().await.unwrap().pop()).await;

    let patience = Span(Duration::from_millis(1500));
    let second = bench.worker_with("w1", |settings| settings.start_timeout = patience);

    let failure = second.end().await.unwrap_err();
    assert_eq!(failure.code(), Code::Configuration);
    assert!(failure.to_string().contains("another live worker is named w1"), "{failure}");
}
