//! The composition root with the raft backend: one member in this process, nothing else.

use scheduler::backends;
use scheduler::cli::Connect;
use scheduler::cluster::Connected;
use scheduler::config::{Config, Process};
use scheduler::exit::Code;
use scheduler::overview::Reader;
use scheduler::workflow::Workflow;
use scheduler::{master, submit, worker};
use tokio_util::sync::CancellationToken;

use crate::bench::{PATIENCE, assert_accepted_once};

fn connect(set: &[&str]) -> Connect {
    Connect { set: set.iter().map(|&text| text.to_owned()).collect(), ..Connect::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_runs_on_a_member_in_this_process() {
    let set = ["registry.raft.storage=memory", "registry.raft.listen='127.0.0.1:0'", "scheduler.name=m1"];
    let config = Config::load(Process::Master, &connect(&set)).unwrap();
    let planner = backends::connect(&config).await.unwrap();
    let runner = Connected { name: "w1".parse().unwrap(), ..planner.clone() };
    let stop = CancellationToken::new();
    let work = async {
        let workflow = Workflow::parse("name = 'w'\n[[task]]\nid = 'a'\ncommand = 'true'").unwrap();
        let instance = submit::submit(&planner.client, &workflow).await.unwrap();
        let mirror = planner.client.mirror(registry_api::Scope::Tree("/instances".parse().unwrap())).await.unwrap();
        let mut changes = mirror.changes();
        let ended = loop {
            let view = Reader::new(&planner).instance(&instance).await.unwrap().unwrap();
            if view.ended_at.is_some() {
                break view;
            }
            changes.next().await.unwrap();
        };
        let leader = Reader::new(&planner).leader().await.unwrap().unwrap();
        stop.cancel();
        (ended, leader)
    };

    let everything = async { tokio::join!(master::run(&planner, &stop), worker::run(&runner, &stop), work) };
    let (planned, ran, (ended, leader)) = tokio::time::timeout(PATIENCE, everything).await.unwrap();

    assert_eq!((planned, ran), (Ok(()), Ok(())));
    assert_accepted_once(&ended);
    assert_eq!((leader.node, leader.master.unwrap().as_str()), (Some(1), "m1"));
    planner.client.close().await.unwrap();
}

#[tokio::test]
async fn a_wrong_backend_setting_is_told_with_its_source() {
    let table = [
        ("registry.backend=rafft", "unknown backend \"rafft\" (flag --set): did you mean \"raft\"?"),
        ("registry.raft.nod=2", "unknown key \"nod\" in [registry.raft] (flag --set); did you mean \"node\"?"),
        ("registry.session_tll='3s'", "did you mean \"session_ttl\"?"),
    ];
    for (set, expected) in table {
        let config = Config::load(Process::Master, &connect(&[set])).unwrap();
        let failure = backends::connect(&config).await.unwrap_err();
        assert_eq!(failure.code(), Code::Configuration);
        assert!(failure.to_string().contains(expected), "{failure}");
    }
}
