//! The batcher: every proposal gets its own outcome, and a failure says exactly what is known.

use std::time::Duration;

use super::*;
use crate::member::quorum_fake::{FakeQuorum, put};

const PATIENCE: Duration = Duration::from_secs(10);

fn batcher(quorum: &Arc<FakeQuorum>) -> Proposals {
    let (proposals, batcher) = Proposals::new(Arc::clone(quorum) as _, Arc::new(Meters::new(1)));
    tokio::spawn(batcher.run());
    proposals
}

fn proposal(key: &str, bytes: usize) -> proto::Proposal {
    let command = Some(proto::Command { command: Some(put(key, vec![0; bytes])) });
    proto::Proposal { command, ..proto::Proposal::default() }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn refusal(failed: Failed) -> proto::Refusal {
    match failed {
        Failed::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_proposal_gets_its_own_outcome_and_many_share_an_entry() {
    let quorum = FakeQuorum::new();
    let proposals = batcher(&quorum);
    let asked = (0..1000).map(|number| {
        let proposals = proposals.clone();
        async move { proposals.submit(proposal(&format!("/key-{number}"), 1), soon()).await.unwrap() }
    });
    let outcomes = futures::future::join_all(asked).await;
    let state = quorum.state();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let key = registry_api::Key::parse(&format!("/key-{number}")).unwrap();
        let modified = state.get(&key).entry.expect("the key").modified;
        assert_eq!(registry_api::Revision::from(outcome.revision.unwrap()), modified);
    }
    let batches = quorum.take_proposed();
    assert!(batches.len() < 100, "{} entries for 1000 proposals", batches.len());
    assert!(batches.iter().all(|batch| batch.proposals.len() <= BATCH_LEN_MAX));
}

#[tokio::test]
async fn an_entry_is_bounded_in_bytes_and_nothing_is_lost_at_the_border() {
    let quorum = FakeQuorum::new();
    let proposals = batcher(&quorum);
    let asked = (0..20).map(|number| {
        let proposals = proposals.clone();
        async move { proposals.submit(proposal(&format!("/key-{number}"), BATCH_BYTES_MAX / 3), soon()).await }
    });
    assert!(futures::future::join_all(asked).await.iter().all(Result::is_ok));
    let batches = quorum.take_proposed();
    assert!(batches.iter().all(|batch| batch.proposals.len() <= 3));
    assert_eq!(batches.iter().map(|batch| batch.proposals.len()).sum::<usize>(), 20);
}

#[tokio::test]
async fn few_entries_are_on_their_way_and_the_next_one_grows() {
    let quorum = FakeQuorum::new();
    quorum.gate.forget_permits(usize::MAX);
    let proposals = batcher(&quorum);
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..100 {
        let submitting = proposals.clone();
        waiting.spawn(async move { submitting.submit(proposal(&format!("/key-{number}"), 1), soon()).await });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }
    let on_their_way = quorum.take_proposed();
    assert_eq!(on_their_way.len(), BATCHES_IN_FLIGHT_MAX);
    quorum.gate.add_permits(1000);
    while let Some(answered) = waiting.join_next().await {
        answered.unwrap().unwrap();
    }
    let rest = quorum.take_proposed();
    let sent: usize = on_their_way.iter().map(|batch| batch.proposals.len()).sum();
    assert_eq!(rest.iter().map(|batch| batch.proposals.len()).sum::<usize>(), 100 - sent);
    assert_eq!(rest.len(), 1);
}

#[tokio::test]
async fn a_failure_says_exactly_whether_it_may_have_been_applied() {
    let quorum = FakeQuorum::new();
    let proposals = batcher(&quorum);
    let cases = [
        (ProposeError::NotLeader(None), proto::Failure::NotLeader, false),
        (ProposeError::RetryLater, proto::Failure::Unavailable, false),
        (ProposeError::Unknown("lost".to_owned()), proto::Failure::Unavailable, true),
    ];
    for (error, failure, effect_unknown) in cases {
        quorum.refuse_with(Some(error));
        let refusal = refusal(proposals.submit(proposal("/a", 1), soon()).await.unwrap_err());
        assert_eq!((refusal.failure(), refusal.effect_unknown), (failure, effect_unknown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_queue_is_surely_not_applied_and_one_in_flight_is_unknown() {
    let quorum = FakeQuorum::new();
    quorum.gate.forget_permits(usize::MAX);
    let proposals = batcher(&quorum);
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..BATCHES_IN_FLIGHT_MAX + 1 {
        let submitting = proposals.clone();
        asked.spawn(async move {
            let failed = submitting.submit(proposal(&format!("/key-{number}"), 1), soon()).await.unwrap_err();
            (number, refusal(failed))
        });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }
    while let Some(answered) = asked.join_next().await {
        let (number, refusal) = answered.unwrap();
        assert_eq!(refusal.failure(), proto::Failure::DeadlineExceeded);
        assert_eq!(refusal.effect_unknown, number < BATCHES_IN_FLIGHT_MAX, "proposal {number}");
    }
    quorum.take_proposed();
    quorum.gate.add_permits(100);
    proposals.submit(proposal("/last", 1), soon()).await.unwrap();
    let later = quorum.take_proposed();
    assert_eq!(later.iter().map(|batch| batch.proposals.len()).sum::<usize>(), 1, "what was given up is not proposed");
}

#[tokio::test]
async fn when_the_member_stops_what_was_not_taken_is_surely_not_applied() {
    let quorum = FakeQuorum::new();
    let (proposals, batcher) = Proposals::new(Arc::clone(&quorum) as _, Arc::new(Meters::new(1)));
    let submitting = tokio::spawn(async move { proposals.submit(proposal("/a", 1), soon()).await });
    tokio::task::yield_now().await;
    drop(batcher);
    let refusal = refusal(submitting.await.unwrap().unwrap_err());
    assert_eq!((refusal.failure(), refusal.effect_unknown), (proto::Failure::Unavailable, false));
}
