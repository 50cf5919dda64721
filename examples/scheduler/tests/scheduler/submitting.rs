//! What is in the registry after submitting, before any master is there.

use scheduler::submit::{Cancelling, cancel};

use crate::bench::{Bench, task};

#[tokio::test]
async fn a_submitted_instance_waits_for_a_master() {
    let bench = Bench::new();
    let instance = bench.submit(&["id = 'a'\ncommand = 'true'"]).await;

    let view = bench.until("it is there", &instance, |_| true).await;

    assert_eq!((view.state, view.driver.as_ref(), task(&view, "a").state), ("submitted", None, "waiting"));
    let workflows = scheduler::overview::Reader::new(&bench.observer).workflows().await.unwrap();
    assert_eq!((workflows[0].name.as_str(), workflows[0].tasks), ("w", 1));
}

#[tokio::test]
async fn what_does_not_exist_cannot_be_cancelled() {
    let bench = Bench::new();
    let unknown = "w-1".parse().unwrap();
    assert_eq!(cancel(&bench.observer.client, &unknown).await.unwrap(), Cancelling::Unknown);
}
