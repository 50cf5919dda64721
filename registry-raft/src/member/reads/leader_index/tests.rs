//! Many reads, few questions; and no read is answered by a question that was asked before it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use super::*;

/// Answers with the number of the question, when the test lets it.
struct Counting {
    asked: AtomicU64,
    answers: Semaphore,
}

#[async_trait]
impl AskLeader for Counting {
    async fn read_index(&self, leader: &LeaderHint, _deadline: Instant) -> Result<u64, Failed> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.answers.acquire().await.expect("never closed").forget();
        if leader.address.is_empty() { Err(Failed::NotSent("nowhere".to_owned())) } else { Ok(number) }
    }
}

fn start(answers: usize) -> (LeaderIndex, Arc<Counting>) {
    let leader = Arc::new(Counting { asked: AtomicU64::new(0), answers: Semaphore::new(answers) });
    let (index, asker) = LeaderIndex::new(Arc::clone(&leader) as _);
    tokio::spawn(asker.run());
    (index, leader)
}

fn hint() -> LeaderHint {
    LeaderHint { id: 2, address: "member-2:7001".to_owned() }
}

#[tokio::test]
async fn reads_that_wait_at_the_same_moment_share_one_question() {
    let (index, leader) = start(1000);
    let answers = futures::future::join_all((0..500).map(|_| index.ask(hint()))).await;
    assert!(answers.iter().all(Result::is_ok));
    let questions = leader.asked.load(Ordering::SeqCst);
    assert!(questions <= 20, "{questions} questions for 500 reads");
}

#[tokio::test]
async fn a_read_is_never_answered_by_a_question_that_was_asked_before_it() {
    let (index, leader) = start(0);
    let early = tokio::spawn({
        let index = index.clone();
        async move { index.ask(hint()).await }
    });
    while leader.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let late = tokio::spawn(async move { index.ask(hint()).await });
    while leader.asked.load(Ordering::SeqCst) == 1 {
        tokio::task::yield_now().await;
    }
    leader.answers.add_permits(2);
    assert_eq!((early.await.unwrap().unwrap(), late.await.unwrap().unwrap()), (1, 2));
}

#[tokio::test]
async fn everybody_who_waited_learns_that_the_leader_was_not_reached() {
    let (index, _leader) = start(1000);
    let nowhere = || LeaderHint { id: 2, address: String::new() };
    let answers = futures::future::join_all((0..10).map(|_| index.ask(nowhere()))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(Failed::NotSent(_)))));
}
