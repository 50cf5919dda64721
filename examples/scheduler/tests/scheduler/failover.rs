//! Deaths: of workers, of masters, clean and unclean, and answers that are lost on the way.

use registry_api::memory::Reachability;
use scheduler::state::DeathReason;

use crate::bench::{Bench, assert_accepted_once, attempt, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_workers_task_is_given_to_another() {
    let bench = Bench::new();
    let _master = bench.master("m1");
    let first = bench.worker("w1");
    let log = bench.log().await;
    let command = format!("echo $ATTEMPT on $WORKER >> {log}; test $WORKER = w2 || sleep 60");
    let instance = bench.submit(&[&format!("id = 'a'\ncommand = '{command}'")]).await;
    log.line("1 on w1").await;

    first.kill();
    let _second = bench.worker("w2");

    let ended = bench.ended(&instance).await;
    assert_accepted_once(&ended);
    assert_eq!((attempt(&ended, "a", 1).state, attempt(&ended, "a", 2).worker.as_str()), ("lost", "w2"));
    assert_eq!(task(&ended, "a").failures, 0, "a lost attempt is no failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_masters_instances_are_taken_over() {
    let bench = Bench::new();
    let masters = [bench.master("m1"), bench.master("m2"), bench.master("m3")];
    bench.slots(3).await;
    let _workers = (bench.worker("w1"), bench.worker("w2"));
    let (log, go) = (bench.log().await, bench.file("go"));
    // The first task waits for a file, so that the driver dies in the middle for sure.
    let first = format!("id = 'a'\ncommand = 'echo begun >> {log}; until test -e {go}; do sleep 0.02; done'");
    let instance = bench.submit(&[&first, "id = 'b'\ncommand = 'true'\ndepends_on = ['a']"]).await;
    log.line("begun").await;
    let view = bench.until("somebody drives it", &instance, |view| view.driver.is_some()).await;
    let driver = view.driver.unwrap();

    let mut survivors = Vec::new();
    for master in masters {
        if master.connected.name == driver { master.kill() } else { survivors.push(master) }
    }
    let taken = bench.until("another drives it", &instance, |view| view.driver.as_ref() != Some(&driver)).await;
    std::fs::write(go, "").unwrap();

    let ended = bench.ended(&instance).await;
    assert_accepted_once(&ended);
    assert_eq!((taken.takeovers, ended.takeovers), (1, 1));
    assert_eq!(task(&ended, "a").attempts.len(), 1, "the attempt in flight went on");
    let noticed = bench.eventually("the death is noticed", async |reader| {
        reader.dead().await.unwrap().into_iter().find(|death| death.name == driver)
    });
    assert_eq!(noticed.await.reason, DeathReason::Vanished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_and_a_worker_die_while_many_tasks_run_and_each_is_accepted_once() {
    let bench = Bench::new();
    let first = bench.master("m1");
    let _masters = (bench.master("m2"), bench.master("m3"));
    let dying = bench.worker("w1");
    let _worker = bench.worker("w2");
    let mut tasks = Vec::new();
    for layer in 0..4 {
        for number in 0..6 {
            let depends_on = if layer == 0 { String::new() } else { format!("'t{}-{number}'", layer - 1) };
            tasks.push(format!("id = 't{layer}-{number}'\ncommand = 'sleep 0.1'\ndepends_on = [{depends_on}]"));
        }
    }
    let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let instances = [bench.submit(&tasks).await, bench.submit(&tasks).await, bench.submit(&tasks).await];
    for instance in &instances {
        bench
            .until("some tasks are done", instance, |view| {
                view.tasks.as_ref().unwrap().iter().filter(|task| task.accepted == 1).count() >= 3
            })
            .await;
    }

    first.kill();
    dying.kill();

    for instance in &instances {
        assert_accepted_once(&bench.ended(instance).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_worker_gives_its_tasks_back_and_is_entered_as_gone_cleanly() {
    let bench = Bench::new();
    let _master = bench.master("m1");
    let first = bench.worker("w1");
    let log = bench.log().await;
    let command = format!("echo $WORKER >> {log}; test $WORKER = w2 || sleep 60");
    let instance = bench.submit(&[&format!("id = 'a'\ncommand = '{command}'")]).await;
    log.line("w1").await;
    let _second = bench.worker("w2");

    first.stop().await.unwrap();

    let ended = bench.ended(&instance).await;
    assert_accepted_once(&ended);
    assert_eq!(attempt(&ended, "a", 1).reason.as_deref(), Some("the worker was stopped"));
    let dead = bench.eventually("the farewell is there", async |reader| reader.dead().await.unwrap().pop()).await;
    assert_eq!((dead.name.as_str(), dead.reason), ("w1", DeathReason::Left));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_master_hands_its_instances_over_without_a_pause() {
    let bench = Bench::new();
    let first = bench.master("m1");
    let _worker = bench.worker("w1");
    let (log, go) = (bench.log().await, bench.file("go"));
    let waiting = format!("id = 'a'\ncommand = 'echo begun >> {log}; until test -e {go}; do sleep 0.02; done'");
    let instance = bench.submit(&[&waiting]).await;
    log.line("begun").await;
    let _second = bench.master("m2");
    bench.eventually("both are there", async |reader| (reader.members().await.unwrap().len() == 2).then_some(())).await;

    first.stop().await.unwrap();

    bench.until("the other drives it", &instance, |view| view.driver.as_ref().unwrap().as_str() == "m2").await;
    std::fs::write(go, "").unwrap();
    assert_accepted_once(&bench.ended(&instance).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_make_nothing_happen_twice() {
    let bench = Bench::new();
    let master = bench.master("m1");
    let worker = bench.worker("w1");
    let log = bench.log().await;
    let tasks: Vec<String> =
        (0..6).map(|number| format!("id = 't{number}'\ncommand = 'echo t{number} >> {log}; sleep 0.1'")).collect();
    let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let instance = bench.submit(&tasks).await;
    log.line("t0").await;

    // Everything that they write is applied, and they are not told: less than a session long.
    for process in [&worker, &master] {
        let before = bench.until("it is there", &instance, |_| true).await;
        process.registry.set_reachable(Reachability::AnswersLost);
        bench.until("a change is applied", &instance, |view| *view != before || view.ended_at.is_some()).await;
        process.mend();
    }

    let ended = bench.ended(&instance).await;
    assert_accepted_once(&ended);
}
