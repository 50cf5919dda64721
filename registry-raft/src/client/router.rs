//! Brings each request to a member that can answer it, again and again until its deadline.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use registry_api::ConnectionPublisher;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::attempts::{Attempts, Verdict};
use super::group::Known;
use super::home::{Home, HomeKeeper, LocalMember};
use super::link::Link;
use super::{ClientTiming, Group, Links, Target};
use crate::boundary::{Boundary, EventSource, Failed, LeaderView};
use crate::proto;
use crate::proto::answer::Answer;
use crate::proto::request::Request;

/// Routes the requests of one process: to the leader what only the leader can do, everything else to a home member.
///
/// The same code serves a remote client and the users of a member: there the home is the member itself, and what it
/// cannot do as a follower goes to the leader over a link.
#[derive(Debug)]
pub(crate) struct Router {
    group: Arc<Group>,
    links: Links,
    local: Option<LocalMember>,
    timing: ClientTiming,
    home: watch::Receiver<Option<Home>>,
    failure: Arc<Mutex<String>>,
    _keeper: DropGuard,
}

/// An answer, with what is known of the attempts before it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    /// Whether an earlier sending of the same request may have been taken.
    pub(crate) sent_before: bool,
}

/// What was believed of the leader when a member was chosen.
#[derive(Clone, Copy, Debug)]
struct Belief {
    term: u64,
    in_somebody: bool,
}

impl Belief {
    fn of(known: &Known) -> Self {
        Self { term: known.term, in_somebody: known.leader.is_some() }
    }
}

impl Router {
    /// Starts routing; the router's task ends when it is dropped. `connection` is told how the client stands.
    pub(crate) fn start(
        group: Arc<Group>,
        links: Links,
        local: Option<LocalMember>,
        timing: ClientTiming,
        connection: Arc<ConnectionPublisher>,
    ) -> Self {
        let (home, watched) = watch::channel(None);
        let failure = Arc::default();
        let keeper = HomeKeeper {
            group: Arc::clone(&group),
            links: links.clone(),
            timing,
            home,
            connection,
            failure: Arc::clone(&failure),
        };
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(keeper.run(local.clone())));
        Self { group, links, local, timing, home: watched, failure, _keeper: stop.drop_guard() }
    }

    /// What is known of the group, to watch.
    pub(crate) fn group(&self) -> watch::Receiver<Known> {
        self.group.watch()
    }

    /// How long this client waits for what.
    pub(crate) fn timing(&self) -> ClientTiming {
        self.timing
    }

    /// Ends every link.
    pub(crate) async fn close(&self) {
        self.links.close().await;
    }

    /// Waits until a member serves this client; at the deadline, why none could be reached.
    pub(crate) async fn found_home(&self, deadline: Instant) -> Result<(), String> {
        match self.wait_for_home(deadline).await {
            Some(_home) => Ok(()),
            None => Err(self.unreachable()),
        }
    }

    /// Why no member could be reached when that was tried last.
    fn unreachable(&self) -> String {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the leader, whoever that is, until it answers or `deadline` passes.
    ///
    /// The request is sent again unchanged: it must be idempotent, as a proposal is by its client and sequence.
    ///
    /// # Errors
    ///
    /// The refusal says whether any of the sendings may have been applied.
    pub(crate) async fn at_leader(&self, request: &Request, deadline: Instant) -> Result<Answered, proto::Refusal> {
        let mut attempts = Attempts::new(self.timing, deadline);
        let mut asked: Vec<u64> = Vec::new();
        loop {
            let Some((target, before)) = self.next_leader(&asked) else {
                self.pause(&mut attempts).await?;
                asked.clear();
                continue;
            };
            asked.push(target.id);
            let boundary = self.boundary(&target);
            let failed = match self.ask_leader(target.id, &*boundary, request.clone(), before, deadline).await {
                Ok(answer) => return Ok(Answered { answer, sent_before: attempts.maybe_applied() }),
                Err(failed) => failed,
            };
            match attempts.judge(failed)? {
                Verdict::NotLeader { hint } => {
                    self.group.forget_leader(target.id);
                    self.group.hear_hint(target.id, &hint);
                }
                Verdict::Lost => self.group.forget_leader(target.id),
                Verdict::Later => {
                    self.pause(&mut attempts).await?;
                    asked.clear();
                }
            }
            attempts.check_deadline()?;
        }
    }

    /// The believed leader, or else whoever was not asked in this round; with what was believed when it was chosen.
    fn next_leader(&self, asked: &[u64]) -> Option<(Target, Belief)> {
        let (leader, before) = self.group.look(|known| {
            let leader = known.leader.as_ref().filter(|leader| !asked.contains(&leader.id));
            (leader.cloned(), Belief::of(known))
        });
        if let Some(leader) = leader {
            return Some((self.dialled(&leader), before));
        }
        // One member asked after another would all go to the same one first; each client begins somewhere else.
        let targets = self.group.targets();
        let unasked: Vec<_> = targets.into_iter().filter(|target| !asked.contains(&target.id)).collect();
        let chosen = unasked.get(rand::random_range(0..unasked.len().max(1))).cloned()?;
        Some((chosen, before))
    }

    /// Where the leader is dialled: where it says itself, or where the members are known to be.
    fn dialled(&self, leader: &LeaderView) -> Target {
        let named = Target { id: leader.id, address: leader.address.clone() };
        if !named.address.is_empty() {
            return named;
        }
        self.group.targets().into_iter().find(|target| target.id == leader.id).unwrap_or(named)
    }

    /// Asks one member as leader, and gives up as soon as another one is known to lead.
    async fn ask_leader(
        &self,
        member: u64,
        boundary: &dyn Boundary,
        request: Request,
        before: Belief,
        deadline: Instant,
    ) -> Result<Answer, Failed> {
        let mut known = self.group.watch();
        let superseded = known.wait_for(|known| {
            let other = known.leader.as_ref().is_some_and(|leader| leader.id != member);
            other && (known.term > before.term || !before.in_somebody)
        });
        tokio::select! {
            biased;
            answered = boundary.request(request, deadline) => answered,
            _ = superseded => Err(Failed::Lost(format!("member {member} leads no longer"))),
        }
    }

    fn boundary(&self, target: &Target) -> Arc<dyn Boundary> {
        match &self.local {
            Some(local) if local.id == target.id => Arc::clone(&local.boundary),
            _ => self.links.to(target),
        }
    }

    /// Waits before the next round; a leader that was not known before ends the wait.
    async fn pause(&self, attempts: &mut Attempts) -> Result<(), proto::Refusal> {
        attempts.check_deadline()?;
        let until = attempts.next_round();
        let mut known = self.group.watch();
        let before = known.borrow_and_update().leader.clone();
        let news = known.wait_for(|known| known.leader.is_some() && known.leader != before);
        tokio::select! {
            () = sleep_until(until) => {}
            _ = news => {}
        }
        attempts.check_deadline()
    }

    /// Answers a read until `deadline`. Whoever serves a linearizable one needs the leader's word: a client that is
    /// connected to the leader asks it there, which saves a hop. A leader that is silent is given up after a while, and
    /// in time for the home member to answer. Listings stay there all the same, since there the hop is the smaller part
    /// of the work, and so do the reads of a member's own process.
    ///
    /// # Errors
    ///
    /// As of [`Router::at_home`].
    pub(crate) async fn read(&self, request: &Request, deadline: Instant) -> Result<Answer, proto::Refusal> {
        if is_brief_and_linearizable(request)
            && let Some((leader, link, before)) = self.connected_leader()
        {
            let now = Instant::now();
            let patience = (deadline.duration_since(now) / 2).min(self.timing.connect_timeout);
            match self.ask_leader(leader, &*link, request.clone(), before, now + patience).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => Attempts::new(self.timing, deadline).judge(failed).map(drop)?,
            }
        }
        self.at_home(request, deadline).await
    }

    /// The leader, where it is another member than the home one and a connection to it is up. None is made for reads: the
    /// leader has enough of them with the clients that write.
    fn connected_leader(&self) -> Option<(u64, Arc<Link>, Belief)> {
        if self.local.is_some() {
            return None;
        }
        let home = self.home.borrow().as_ref().map(|home| home.id)?;
        let (leader, before) = self.group.look(|known| (known.leader.clone(), Belief::of(known)));
        let leader = leader.filter(|leader| leader.id != home)?;
        let link = self.links.to(&self.dialled(&leader));
        link.is_up().then_some((leader.id, link, before))
    }

    /// Asks the home member, or another one while that cannot answer, until `deadline`.
    ///
    /// # Errors
    ///
    /// The last word of whoever was asked. Requests that come here change nothing.
    pub(crate) async fn at_home(&self, request: &Request, deadline: Instant) -> Result<Answer, proto::Refusal> {
        let mut attempts = Attempts::new(self.timing, deadline);
        let mut elsewhere = false;
        loop {
            let other = if elsewhere { self.elsewhere() } else { None };
            let answered = match other {
                Some(other) => other.request(request.clone(), deadline).await,
                None => match self.wait_for_home(deadline).await {
                    Some(home) => self.ask_home(&home, request.clone(), deadline).await,
                    None => return Err(attempts.give_up_because(&self.unreachable())),
                },
            };
            let failed = match answered {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let _retried = attempts.judge(failed)?;
            attempts.check_deadline()?;
            elsewhere = !elsewhere;
            let mut home = self.home.clone();
            home.mark_unchanged();
            let _moved = timeout_at(attempts.next_round(), home.changed()).await;
        }
    }

    /// Asks a home member for as long as it is the home: one that was left because it knows of no leader may be cut off,
    /// and what it is asked to wait for may never come to it.
    async fn ask_home(&self, home: &Home, request: Request, deadline: Instant) -> Result<Answer, Failed> {
        let mut homes = self.home.clone();
        let moved = homes.wait_for(|now| now.as_ref().is_some_and(|now| now.id != home.id));
        tokio::select! {
            biased;
            answered = home.boundary.request(request, deadline) => answered,
            _ = moved => Err(Failed::Lost(format!("member {} is not asked any more", home.id))),
        }
    }

    /// Another member than the home one: the leader, or any.
    fn elsewhere(&self) -> Option<Arc<dyn Boundary>> {
        let home = self.home.borrow().as_ref().map(|home| home.id);
        if let Some(leader) = self.group.leader().filter(|leader| Some(leader.id) != home) {
            return Some(self.boundary(&self.dialled(&leader)));
        }
        let targets = self.group.targets();
        let others: Vec<_> = targets.into_iter().filter(|target| Some(target.id) != home).collect();
        others.get(rand::random_range(0..others.len().max(1))).map(|target| self.boundary(target))
    }

    /// Subscribes at the home member, once.
    ///
    /// # Errors
    ///
    /// As of [`Boundary::subscribe`].
    pub(crate) async fn subscribe(&self, subscribe: proto::Subscribe, deadline: Instant) -> Result<Attached, Failed> {
        let Some(home) = self.wait_for_home(deadline).await else {
            return Err(Failed::NotSent("no member could be reached".to_owned()));
        };
        let source = home.boundary.subscribe(subscribe, deadline).await?;
        Ok(Attached { source, member: home.id, home: self.home.clone() })
    }

    /// Asks every known member at the same time, each once.
    pub(crate) async fn at_each(&self, request: &Request, deadline: Instant) -> Vec<(Target, Result<Answer, Failed>)> {
        let asked = self.group.targets().into_iter().map(|target| async move {
            let answer = self.boundary(&target).request(request.clone(), deadline).await;
            (target, answer)
        });
        futures::future::join_all(asked).await
    }

    async fn wait_for_home(&self, deadline: Instant) -> Option<Home> {
        let mut home = self.home.clone();
        timeout_at(deadline, home.wait_for(Option::is_some)).await.ok()?.ok()?.clone()
    }
}

/// A subscription at a member, for as long as that is the home.
#[derive(Debug)]
pub(crate) struct Attached {
    source: EventSource,
    member: u64,
    home: watch::Receiver<Option<Home>>,
}

impl Attached {
    /// The next events; `None` when they go on elsewhere: the connection is lost, or the home moved.
    ///
    /// # Cancellation
    ///
    /// Safe.
    pub(crate) async fn next(&mut self) -> Option<proto::Events> {
        let member = self.member;
        let moved = self.home.wait_for(|home| home.as_ref().is_some_and(|home| home.id != member));
        tokio::select! {
            biased;
            events = self.source.next() => events,
            _ = moved => None,
        }
    }

    /// See [`EventSource::credit`].
    pub(crate) fn credit(&self, events: u64) {
        self.source.credit(events);
    }
}

/// A read of one thing that is to see every change that was acknowledged before it.
fn is_brief_and_linearizable(request: &Request) -> bool {
    let freshness = match request {
        Request::Get(get) => &get.freshness,
        Request::InspectLock(inspect) => &inspect.freshness,
        _ => return false,
    };
    freshness.as_ref().is_some_and(|freshness| freshness.linearizable)
}

/// How long one attempt to attach a subscription may take.
pub(crate) const SUBSCRIBE_ATTEMPT: Duration = Duration::from_secs(5);
