//! Finding and following the leader.

use super::fake::Reaction;
use super::*;

#[tokio::test]
async fn a_hint_is_followed_to_the_leader() {
    let leader = Fake::start(2, |request| leads(request).into()).await;
    let hint = leader.hint();
    let follower = Fake::start(1, move |_request| Reaction::Answer(not_leader(&hint))).await;
    follower.say_leader(None, 1);
    // Only the follower is known: the leader's address comes from the hint.
    let client = client_of(vec![follower.target()]);
    client.proposer.propose(put("/a"), soon()).await.unwrap();
    assert_eq!(proposals(&leader.requests()).len(), 1);
}

#[tokio::test]
async fn a_notice_of_a_new_leader_moves_a_request_that_waits() {
    let old = Fake::start(1, |_request| Reaction::Silence).await;
    let new = Fake::start(2, |request| leads(request).into()).await;
    let observer = Fake::start(3, |_request| Reaction::Silence).await;
    for member in [&old, &new, &observer] {
        member.say_leader(Some(&old.target()), 1);
    }
    let client = client_of(vec![old.target(), new.target(), observer.target()]);
    // The client hears of leaders from its home member, whichever that is.
    client.router.found_home(soon()).await.unwrap();
    let asking = tokio::spawn(async move { client.router.at_leader(&Request::KeepClient(1), soon()).await });
    old.heard(1).await;
    for member in [&old, &new, &observer] {
        member.say_leader(Some(&new.target()), 2);
    }
    let answered = asking.await.unwrap().unwrap();
    assert!(answered.sent_before, "the old leader may have taken it");
}

#[tokio::test]
async fn members_that_name_each_other_are_asked_a_bounded_number_of_times() {
    let hints = Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let told = Arc::clone(&hints);
    let script = move |other: usize| {
        let told = Arc::clone(&told);
        move |_request: &Request| Reaction::Answer(not_leader(&told.lock().unwrap()[other]))
    };
    let first = Fake::start(1, script(1)).await;
    let second = Fake::start(2, script(0)).await;
    hints.lock().unwrap().extend([first.hint(), second.hint()]);
    first.say_leader(None, 1);
    second.say_leader(None, 1);
    let client = client_of(vec![first.target(), second.target()]);
    let started = Instant::now();
    let refusal = client.router.at_leader(&Request::KeepClient(1), within(1000)).await.unwrap_err();
    assert!(!refusal.effect_unknown);
    assert_eq!(refusal.failure(), proto::Failure::Unavailable);
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
    // Two per round; with waits that double from 5 to 250 ms there is time for about ten rounds.
    let asked = first.requests().len() + second.requests().len();
    assert!((2..=40).contains(&asked), "{asked}");
}

#[tokio::test]
async fn the_loss_of_the_leader_moves_requests_to_the_next_one() {
    let first = Fake::start(1, |request| leads(request).into()).await;
    let second = Fake::start(2, |request| leads(request).into()).await;
    second.say_leader(Some(&first.target()), 1);
    let client = client_of(vec![first.target(), second.target()]);
    client.proposer.propose(put("/a"), soon()).await.unwrap();
    let target = second.target();
    second.say_leader(Some(&target), 2);
    drop(first);
    client.proposer.propose(put("/b"), soon()).await.unwrap();
    let last = proposals(&second.requests()).pop().unwrap();
    assert_eq!((last.client, last.sequence), (7, 2));
}
