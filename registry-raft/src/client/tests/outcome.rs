//! What is known of a command after each way that sending it can end.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::fake::Reaction;
use super::*;

/// A script that registers clients, answers what `script` says to the n-th command, and does everything after.
fn scripted(
    script: impl Fn(usize) -> Option<Reaction> + Send + Sync + 'static,
) -> impl Fn(&Request) -> Reaction + Send + Sync + 'static {
    let commands = AtomicUsize::new(0);
    let identities = AtomicUsize::new(7);
    move |request| {
        let Request::Propose(proposal) = request else { return Reaction::Answer(Answer::Done(true)) };
        if proposal.client == 0 {
            let identity = identities.fetch_add(1, Ordering::SeqCst) as u64;
            return Reaction::Answer(outcome(Applied::Client(identity)));
        }
        let n = commands.fetch_add(1, Ordering::SeqCst);
        script(n).unwrap_or_else(|| Reaction::Answer(outcome(Applied::Done(true))))
    }
}

fn refused(failure: proto::Failure) -> Reaction {
    Reaction::Answer(Answer::Refused(refusal(failure)))
}

fn refused_by_the_state_machine(failure: proto::Failure) -> Reaction {
    Reaction::Answer(outcome(Applied::Refused(refusal(failure))))
}

#[tokio::test]
async fn a_command_whose_answer_was_lost_is_sent_again_under_the_same_number() {
    let member = Fake::start(1, scripted(|n| (n == 0).then_some(Reaction::Break))).await;
    let client = client_of(vec![member.target()]);
    client.proposer.propose(put("/a"), soon()).await.unwrap();
    client.proposer.propose(put("/b"), soon()).await.unwrap();
    let sent = proposals(&member.requests());
    let numbers: Vec<_> = sent.iter().map(|proposal| (proposal.client, proposal.sequence)).collect();
    assert_eq!(numbers, [(7, 1), (7, 1), (7, 2)]);
    assert_eq!(sent.last().unwrap().answered_below, 2);
}

#[tokio::test]
async fn without_an_answer_until_the_deadline_the_effect_is_unknown() {
    let member = Fake::start(1, scripted(|_n| Some(Reaction::Silence))).await;
    let client = client_of(vec![member.target()]);
    let refusal = client.proposer.propose(put("/a"), within(300)).await.unwrap_err();
    assert_eq!((refusal.failure(), refusal.effect_unknown), (proto::Failure::DeadlineExceeded, true));
}

#[tokio::test]
async fn a_command_that_was_never_sent_is_surely_not_applied() {
    let client = client_of(vec![Target { id: 1, address: "127.0.0.1:1".to_owned() }]);
    let refusal = client.proposer.propose(put("/a"), within(300)).await.unwrap_err();
    assert_eq!((refusal.failure(), refusal.effect_unknown), (proto::Failure::Unavailable, false));
    assert!(refusal.message.contains("127.0.0.1:1"), "{}", refusal.message);
}

#[tokio::test]
async fn a_command_that_every_member_refuses_is_surely_not_applied() {
    let member = Fake::start(1, scripted(|_n| Some(refused(proto::Failure::Unavailable)))).await;
    let client = client_of(vec![member.target()]);
    let refusal = client.proposer.propose(put("/a"), within(300)).await.unwrap_err();
    assert_eq!((refusal.failure(), refusal.effect_unknown), (proto::Failure::Unavailable, false));
}

#[tokio::test]
async fn a_refusal_of_the_state_machine_is_final_and_sure_even_after_a_lost_answer() {
    let script = |n| match n {
        0 => Some(Reaction::Break),
        _ => Some(refused_by_the_state_machine(proto::Failure::PreconditionFailed)),
    };
    let member = Fake::start(1, scripted(script)).await;
    let client = client_of(vec![member.target()]);
    let refusal = client.proposer.propose(put("/a"), soon()).await.unwrap_err();
    assert_eq!((refusal.failure(), refusal.effect_unknown), (proto::Failure::PreconditionFailed, false));
}

#[tokio::test]
async fn an_identity_that_ended_before_the_first_sending_is_registered_again() {
    let member =
        Fake::start(1, scripted(|n| (n == 0).then(|| refused_by_the_state_machine(proto::Failure::ClientEnded)))).await;
    let client = client_of(vec![member.target()]);
    client.proposer.propose(put("/a"), soon()).await.unwrap();
    let numbers: Vec<_> =
        proposals(&member.requests()).iter().map(|proposal| (proposal.client, proposal.sequence)).collect();
    assert_eq!(numbers, [(7, 1), (8, 1)]);
}

#[tokio::test]
async fn an_identity_that_ended_after_a_sending_leaves_the_effect_unknown() {
    for ended in [refused(proto::Failure::ClientEnded), refused_by_the_state_machine(proto::Failure::ClientEnded)] {
        let script = move |n| match n {
            0 => Some(Reaction::Break),
            1 => Some(ended.clone()),
            _ => None,
        };
        let member = Fake::start(1, scripted(script)).await;
        let client = client_of(vec![member.target()]);
        let refusal = client.proposer.propose(put("/a"), soon()).await.unwrap_err();
        assert!(refusal.effect_unknown, "{refusal:?}");
        client.proposer.propose(put("/b"), soon()).await.unwrap();
        let last = proposals(&member.requests()).pop().unwrap();
        assert_eq!((last.client, last.sequence), (8, 1), "the next command has a new identity");
    }
}

#[tokio::test]
async fn a_registration_that_is_repeated_keeps_its_nonce() {
    let script = |request: &Request| match request {
        Request::Propose(proposal) if proposal.client == 0 => Reaction::Break,
        _ => leads(request).into(),
    };
    let member = Fake::start(1, script).await;
    let client = client_of(vec![member.target()]);
    let refusal = client.proposer.propose(put("/a"), within(300)).await.unwrap_err();
    assert!(!refusal.effect_unknown, "the command itself was never sent: {refusal:?}");
    client.proposer.propose(put("/a"), within(300)).await.unwrap_err();
    let nonces: std::collections::BTreeSet<_> = member
        .requests()
        .iter()
        .filter_map(|request| match request {
            Request::Propose(proto::Proposal { command: Some(command), .. }) => match &command.command {
                Some(Command::RegisterClient(register)) => Some(register.nonce.clone()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(nonces.len(), 1);
}
