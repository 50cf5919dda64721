//! Elections: one leader at a time, told to everybody, with a token that only grows.

use futures::FutureExt;
use registry_api::{
    Election, ErrorKind, FencingToken, Leader, Leadership, LockName, RegistryClient, Session, SessionOptions,
};
use tokio::task::JoinHandle;

use super::lock::queued;
use crate::Guarantee::{G4, G5, G7, G8, G9, G10, G11, G12};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::refused;
use crate::{Broken, Case, Context, Outcome};

pub(super) fn cases() -> Vec<Case> {
    cases!["election";
        a_lone_candidate_leads => [G8];
        a_second_candidate_waits => [G8];
        resigning_hands_over => [G10, G8];
        losing_the_session_demotes => [G7, G8];
        a_standby_takes_over_from_a_killed_leader => [G4, G8];
        a_restarted_candidate_does_not_inherit => [G5, G8];
        a_dropped_campaign_leaves_the_queue => [G11];
        tokens_grow_from_leader_to_leader => [G9];
        an_observer_sees_every_change => [G12];
        a_late_observer_begins_with_the_leader => [G12];
        the_word_of_a_former_leader_is_refused => [G9];
    ]
}

/// A candidate with a session of its own.
struct Candidate {
    session: Session,
    election: Election,
}

impl Candidate {
    async fn enter(context: &Context, client: &RegistryClient, name: &'static str) -> Outcome<Self> {
        Self::with_options(context, client, name, SessionOptions::with_ttl(context.timing().long_ttl)).await
    }

    async fn mortal(context: &Context, client: &RegistryClient, name: &'static str) -> Outcome<Self> {
        Self::with_options(context, client, name, SessionOptions::with_ttl(context.timing().session_ttl)).await
    }

    async fn with_options(
        context: &Context,
        client: &RegistryClient,
        name: &'static str,
        options: SessionOptions,
    ) -> Outcome<Self> {
        let session = client.open_session(options).await?;
        Ok(Self { session, election: Election::new(client.clone(), context.key("leader")?, name) })
    }

    async fn lead(&self, context: &Context) -> Outcome<Leadership> {
        Ok(context.soon("leadership", self.election.campaign(&self.session)).await??)
    }

    /// Campaigns in a task of its own, and returns when it is in the queue at this place.
    async fn stand_by(&self, context: &Context, place: usize) -> Outcome<Campaign> {
        let (election, session) = (self.election.clone(), self.session.clone());
        let task = tokio::spawn(async move { election.campaign(&session).await });
        queued(context, self.session.client(), &lock_name(context)?, place).await?;
        Ok(Campaign(task))
    }
}

struct Campaign(JoinHandle<Result<Leadership, registry_api::Error>>);

impl Campaign {
    async fn won(mut self, context: &Context) -> Outcome<Leadership> {
        Ok(context.soon("the won campaign", &mut self.0).await?.map_err(Broken::harness)??)
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn lock_name(context: &Context) -> Outcome<LockName> {
    context.lock("leader")
}

/// The leader that everybody is told of now.
async fn leader(candidate: &Candidate) -> Outcome<Option<(String, FencingToken)>> {
    Ok(candidate.election.leader().await?.as_ref().map(told))
}

fn told(leader: &Leader) -> (String, FencingToken) {
    (String::from_utf8_lossy(&leader.candidate).into_owned(), leader.token)
}

async fn a_lone_candidate_leads(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let (one, watcher) =
        (Candidate::enter(&context, &client, "one").await?, Candidate::enter(&context, &other, "").await?);
    ensure_eq!(G8, leader(&watcher).await?, None, "the leader before the first campaign");
    let leadership = one.lead(&context).await?;
    leadership.check()?;
    let expected = Some(("one".to_owned(), leadership.token()));
    ensure_eq!(G8, leader(&watcher).await?, expected, "the leader that others are told of");
    Ok(leadership.resign().await?)
}

async fn a_second_candidate_waits(context: Context) -> Outcome {
    let client = context.client().await?;
    let one = Candidate::enter(&context, &client, "one").await?;
    let two = Candidate::enter(&context, &client, "two").await?;
    let leadership = one.lead(&context).await?;
    let campaign = two.stand_by(&context, 1).await?;
    ensure!(G8, !campaign.0.is_finished(), "a second candidate was answered while the first leads");
    ensure_eq!(G8, leader(&two).await?, Some(("one".to_owned(), leadership.token())), "the leader");
    Ok(())
}

async fn resigning_hands_over(context: Context) -> Outcome {
    let client = context.client().await?;
    let mut leadership = Candidate::enter(&context, &client, "first").await?.lead(&context).await?;
    let names = ["second", "third", "fourth"];
    let mut campaigns = Vec::new();
    for (number, name) in names.into_iter().enumerate() {
        let candidate = Candidate::enter(&context, &client, name).await?;
        let campaign = candidate.stand_by(&context, number + 1).await?;
        campaigns.push((name, candidate, campaign));
    }
    for (name, candidate, campaign) in campaigns {
        leadership.resign().await?;
        leadership = campaign.won(&context).await?;
        let expected = Some((name.to_owned(), leadership.token()));
        ensure_eq!(G10, leader(&candidate).await?, expected, "the leader after the one before resigned");
    }
    Ok(leadership.resign().await?)
}

async fn losing_the_session_demotes(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let one = Candidate::mortal(&context, &client, "one").await?;
    let two = Candidate::enter(&context, &other, "two").await?;
    let leadership = one.lead(&context).await?;
    let campaign = two.stand_by(&context, 1).await?;
    other.registry().close_session(one.session.id()).await?;
    let next = campaign.won(&context).await?;
    context.soon("the report of the lost leadership", leadership.lost()).await?;
    ensure!(G7, leadership.check().is_err(), "a leader that lost its session says that it leads");
    ensure!(G9, next.token() > leadership.token(), "the token {} follows {}", next.token(), leadership.token());
    ensure_eq!(G8, leader(&two).await?, Some(("two".to_owned(), next.token())), "the leader");
    Ok(())
}

async fn a_standby_takes_over_from_a_killed_leader(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    let one = Candidate::mortal(&context, &client, "one").await?;
    let two = Candidate::enter(&context, &other, "two").await?;
    let leadership = one.lead(&context).await?;
    let campaign = two.stand_by(&context, 1).await?;
    cable.cut();
    let cut = tokio::time::Instant::now();
    let next = campaign.won(&context).await?;
    ensure!(G7, leadership.check().is_err(), "two leaders believe in themselves");
    let bound = context.timing().late_bound + context.slack_since(cut);
    let ttl = one.session.ttl();
    ensure!(G4, cut.elapsed() <= ttl + bound, "the standby led {:?} after the kill", cut.elapsed());
    ensure_eq!(G8, leader(&two).await?, Some(("two".to_owned(), next.token())), "the leader");
    Ok(())
}

async fn a_restarted_candidate_does_not_inherit(context: Context) -> Outcome {
    let ((dead, cable), client) = (context.cabled_client().await?, context.client().await?);
    let before = Candidate::mortal(&context, &dead, "10.0.0.1").await?;
    let old = before.lead(&context).await?;
    cable.cut();
    let after = Candidate::enter(&context, &client, "10.0.0.1").await?;
    let campaign = after.stand_by(&context, 1).await?;
    ensure!(G5, !campaign.0.is_finished(), "a candidate with the same name was taken for the leader");
    let new = campaign.won(&context).await?;
    ensure!(G9, new.token() > old.token(), "the token {} follows {}", new.token(), old.token());
    ensure!(G8, old.check().is_err(), "the predecessor believes in its leadership");
    // The end of the predecessor must not take the record of its successor along.
    ensure_eq!(G5, leader(&after).await?, Some(("10.0.0.1".to_owned(), new.token())), "the leader");
    Ok(())
}

async fn a_dropped_campaign_leaves_the_queue(context: Context) -> Outcome {
    let client = context.client().await?;
    let one = Candidate::enter(&context, &client, "one").await?;
    let two = Candidate::enter(&context, &client, "two").await?;
    let three = Candidate::enter(&context, &client, "three").await?;
    let leadership = one.lead(&context).await?;
    let dropped = two.stand_by(&context, 1).await?;
    let kept = three.stand_by(&context, 2).await?;
    drop(dropped);
    queued(&context, &client, &lock_name(&context)?, 1).await?;
    leadership.resign().await?;
    let next = kept.won(&context).await?;
    ensure_eq!(G11, leader(&three).await?, Some(("three".to_owned(), next.token())), "the leader");
    Ok(())
}

async fn tokens_grow_from_leader_to_leader(context: Context) -> Outcome {
    let clients = [context.client().await?, context.client().await?];
    let mut last: Option<FencingToken> = None;
    for client in clients.iter().cycle().take(10) {
        let candidate = Candidate::enter(&context, client, "candidate").await?;
        let leadership = candidate.lead(&context).await?;
        let token = leadership.token();
        ensure!(G9, last.is_none_or(|last| token > last), "the token {token} follows {last:?}");
        last = Some(token);
        leadership.resign().await?;
    }
    Ok(())
}

async fn an_observer_sees_every_change(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let mut observer = Candidate::enter(&context, &other, "").await?.election.observe();
    let first = context.soon("the first word of the observer", observer.next()).await?;
    ensure_eq!(G12, first.map(|leader| leader.is_some()), Some(false), "whether anybody leads at first");
    for name in ["one", "two", "three"] {
        let leadership = Candidate::enter(&context, &client, name).await?.lead(&context).await?;
        let seen = context.soon("the new leader", observer.next()).await?.flatten();
        let expected = Some((name.to_owned(), leadership.token()));
        ensure_eq!(G12, seen.as_ref().map(told), expected, "the leader that the observer sees");
        leadership.resign().await?;
        let seen = context.soon("the end of the leader", observer.next()).await?;
        ensure_eq!(
            G12,
            seen.map(|leader| leader.is_some()),
            Some(false),
            "whether anybody leads after the resignation"
        );
    }
    Ok(())
}

async fn a_late_observer_begins_with_the_leader(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let leadership = Candidate::enter(&context, &client, "one").await?.lead(&context).await?;
    let mut observer = Candidate::enter(&context, &other, "").await?.election.observe();
    let seen =
        context.soon("the first word of the observer", observer.next()).map(|seen| seen.map(Option::flatten)).await?;
    let expected = Some(("one".to_owned(), leadership.token()));
    ensure_eq!(G12, seen.as_ref().map(told), expected, "what a late observer sees first");
    Ok(())
}

async fn the_word_of_a_former_leader_is_refused(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let one = Candidate::enter(&context, &client, "one").await?;
    let two = Candidate::enter(&context, &other, "two").await?;
    let plan = context.key("plan")?;
    let old = one.lead(&context).await?;
    old.guard().put(&plan, "of one").await?;
    let campaign = two.stand_by(&context, 1).await?;
    other.registry().close_session(one.session.id()).await?;
    let new = campaign.won(&context).await?;
    refused(G9, "a write of a former leader", old.guard().put(&plan, "late").await, &ErrorKind::LockLost)?;
    new.guard().put(&plan, "of two").await?;
    Ok(())
}
