//! Running workflows: order, retries, timeouts, groups, refusing work, cancelling.

use scheduler::state::{Outcome, keys};
use scheduler::submit::{Cancelling, cancel};

use crate::bench::{Bench, assert_accepted_once, attempt, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_run_after_what_they_depend_on_and_each_once() {
    let bench = Bench::new();
    let _processes = (bench.master("m1"), bench.worker("w1"), bench.worker("w2"));
    let log = bench.log().await;
    let line = |id: &str, depends_on: &str| {
        format!("id = '{id}'\ncommand = 'echo {id} >> {log}'\ndepends_on = [{depends_on}]")
    };
    let tasks = [line("a", ""), line("b", "'a'"), line("c", "'a'"), line("d", "'a'"), line("e", "'b', 'c', 'd'")];
    let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let instance = bench.submit(&tasks).await;

    let ended = bench.ended(&instance).await;

    assert_accepted_once(&ended);
    log.line("e").await;
    let lines = log.lines();
    assert_eq!((lines.len(), lines[0].as_str(), lines[4].as_str()), (5, "a", "e"), "{lines:?}");
    assert_eq!(bench.keys_below(keys::assignments()).await, [""; 0], "no assignment stays behind");
    bench
        .eventually("the inbox is emptied", async |_| {
            bench.keys_below(keys::inbox(&instance)).await.is_empty().then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_told_who_they_are() {
    let bench = Bench::new();
    let _processes = (bench.master("m1"), bench.worker("w1"));
    let out = bench.file("out");
    let command =
        format!("echo $WORKFLOW $INSTANCE $TASK_ID $ATTEMPT $WORKER $OWN > {out}; test -n \"$FENCING_TOKEN\"");
    let instance = bench.submit(&[&format!("id = 'a'\ncommand = '{command}'\nenv = {{ OWN = 'x y' }}")]).await;

    assert_accepted_once(&bench.ended(&instance).await);

    assert_eq!(std::fs::read_to_string(out).unwrap(), format!("w {instance} a 1 w1 x y\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_task_is_retried_as_often_as_it_says() {
    let bench = Bench::new();
    let _processes = (bench.master("m1"), bench.worker("w1"));
    let retried = "id = 'a'\ncommand = 'echo try $ATTEMPT; test $ATTEMPT = 3'\nretries = 2\nretry_delay = '20ms'";
    let instance = bench.submit(&[retried]).await;

    let ended = bench.ended(&instance).await;

    assert_accepted_once(&ended);
    assert_eq!((task(&ended, "a").failures, attempt(&ended, "a", 1).state), (2, "failed"));
    assert_eq!(attempt(&ended, "a", 1).exit_code, Some(1));
    assert_eq!(attempt(&ended, "a", 3).output, "try 3\n");
    let tokens: Vec<_> = task(&ended, "a").attempts.iter().map(|attempt| attempt.token.clone().unwrap()).collect();
    let parsed: Vec<scheduler::ledger::Token> = tokens.iter().map(|token| token.parse().unwrap()).collect();
    assert!(parsed.is_sorted_by(|a, b| a < b), "the fencing tokens of a task grow: {tokens:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_depends_on_a_failed_task_is_skipped_and_the_rest_runs() {
    let bench = Bench::new();
    let _processes = (bench.master("m1"), bench.worker("w1"));
    let instance = bench
        .submit(&[
            "id = 'bad'\ncommand = 'exit 4'",
            "id = 'after'\ncommand = 'true'\ndepends_on = ['bad']",
            "id = 'later'\ncommand = 'true'\ndepends_on = ['after']",
            "id = 'apart'\ncommand = 'true'",
        ])
        .await;

    let ended = bench.ended(&instance).await;

    let states: Vec<_> = ended.tasks.as_ref().unwrap().iter().map(|task| (task.state, task.accepted)).collect();
    assert_eq!(ended.state, "failed");
    assert_eq!(states, [("failed", 0), ("skipped", 0), ("skipped", 0), ("succeeded", 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_takes_too_long_is_killed() {
    let bench = Bench::new();
    let _processes = (bench.master("m1"), bench.worker("w1"));
    let instance = bench.submit(&["id = 'a'\ncommand = 'sleep 60'\ntimeout = '100ms'"]).await;

    let ended = bench.ended(&instance).await;

    let attempt = attempt(&ended, "a", 1);
    assert_eq!((ended.state, attempt.state), ("failed", "timed_out"));
    assert_eq!(attempt.reason.as_deref(), Some("took longer than 100ms"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_runs_only_in_its_group() {
    let bench = Bench::new();
    let _processes = (bench.master("m1"), bench.worker("w1"));
    let instance = bench.submit(&["id = 'a'\ncommand = 'true'\ngroup = 'gpu'", "id = 'b'\ncommand = 'true'"]).await;
    bench.until("the other task ends", &instance, |view| task(view, "b").state == "succeeded").await;

    let waiting = bench.until("it waits", &instance, |_| true).await;
    assert_eq!(task(&waiting, "a").state, "waiting");
    let _gpu = bench.worker_with("w2", |settings| settings.worker.group = "gpu".parse().unwrap());

    let ended = bench.ended(&instance).await;
    assert_eq!(attempt(&ended, "a", 1).worker.as_str(), "w2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_above_its_load_takes_nothing_until_another_can() {
    let bench = Bench::new();
    // It offers its capacity until it is asked: then it measures, and declines.
    let _processes = (bench.master("m1"), bench.worker_with("w1", |settings| settings.worker.load_max = Some(1e-9)));
    let instance = bench.submit(&["id = 'a'\ncommand = 'true'"]).await;
    bench
        .eventually("the busy worker is seen", async |reader| {
            let workers = reader.workers().await.unwrap();
            workers.first().is_some_and(|worker| worker.report.vitals.status.as_str() == "busy").then_some(())
        })
        .await;
    let _idle = bench.worker("w2");

    let ended = bench.ended(&instance).await;

    assert_accepted_once(&ended);
    assert_eq!(task(&ended, "a").attempts.last().unwrap().worker.as_str(), "w2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_full_declines_and_runs_nothing_of_it() {
    let bench = Bench::new();
    let _worker = bench.worker_with("w1", |settings| settings.worker.capacity = 1);
    let worker = bench.eventually("it is there", async |reader| reader.workers().await.unwrap().pop()).await;
    let log = bench.log().await;

    // What a master would write that does not know of another master's assignment yet.
    bench.offer(&worker, "first", &format!("echo first >> {log}; sleep 60")).await;
    log.line("first").await;
    bench.offer(&worker, "second", &format!("echo second >> {log}")).await;

    let key = keys::report(&"w-1".parse().unwrap(), &"second".parse().unwrap());
    let entry = bench.eventually("it declines", async |_| bench.observer.client.get(&key).await.unwrap()).await;
    let report: scheduler::state::Report = scheduler::state::decode(&entry).unwrap();
    assert_eq!(report.outcome, Outcome::Declined { reason: "1 of 1 tasks run already".into() });
    assert_eq!(log.lines(), ["first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_tasks_than_capacity_run_one_after_the_other() {
    let bench = Bench::new();
    let _processes = (bench.master("m1"), bench.worker_with("w1", |settings| settings.worker.capacity = 2));
    let tasks: Vec<String> = (0..9).map(|number| format!("id = 't{number}'\ncommand = 'sleep 0.05'")).collect();
    let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let instance = bench.submit(&tasks).await;

    assert_accepted_once(&bench.ended(&instance).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_instance_ends_and_its_commands_with_it() {
    let bench = Bench::new();
    let _processes = (bench.master("m1"), bench.worker("w1"));
    let log = bench.log().await;
    let command = format!("echo begun >> {log}; sleep 60; echo survived >> {log}");
    let first = format!("id = 'a'\ncommand = '{command}'");
    let instance = bench.submit(&[&first, "id = 'b'\ncommand = 'true'\ndepends_on = ['a']"]).await;
    log.line("begun").await;

    assert_eq!(cancel(&bench.observer.client, &instance).await.unwrap(), Cancelling::Asked);

    let ended = bench.ended(&instance).await;
    assert_eq!(
        (ended.state, task(&ended, "a").state, task(&ended, "b").state),
        ("cancelled", "cancelled", "cancelled")
    );
    bench
        .eventually("the worker has nothing left to run", async |reader| {
            reader.workers().await.unwrap().first().is_some_and(|worker| worker.report.running == 0).then_some(())
        })
        .await;
    assert_eq!(
        cancel(&bench.observer.client, &instance).await.unwrap(),
        Cancelling::Ended(scheduler::state::InstanceState::Cancelled)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_masters_split_the_instances() {
    let bench = Bench::new();
    let _processes = (bench.master("m1"), bench.master("m2"), bench.master("m3"), bench.worker("w1"));
    bench.slots(3).await;

    let mut drivers = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let instance = bench.submit(&["id = 'a'\ncommand = 'true'"]).await;
        let ended = bench.ended(&instance).await;
        assert_accepted_once(&ended);
        drivers.insert(ended.driver.unwrap());
    }

    assert!(drivers.len() > 1, "twelve instances with one master: {drivers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_instances_are_forgotten_in_time() {
    let bench = Bench::new();
    let _processes = (bench.master_with("m1", |settings| settings.master.instances_kept = 2), bench.worker("w1"));
    let mut last = None;
    for _ in 0..5 {
        let instance = bench.submit(&["id = 'a'\ncommand = 'true'"]).await;
        bench.ended(&instance).await;
        last = Some(instance);
    }

    let kept = bench
        .eventually("three are forgotten", async |reader| {
            let instances = reader.instances().await.unwrap();
            (instances.len() <= 3).then_some(instances)
        })
        .await;

    assert!(kept.iter().any(|view| Some(&view.id) == last.as_ref()));
    assert!(bench.keys_below("/tasks".parse().unwrap()).await.len() <= 3);
}
