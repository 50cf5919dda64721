//! What one member answers, however the request came: by a call in this process or over a stream.

mod admission;
mod connection;
mod local;
mod outgoing;
mod work;

use std::sync::Arc;
use std::time::Duration;

use registry_api::{Revision, Scope};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::local::LocalBoundary;
pub(crate) use self::outgoing::Sent;
use crate::boundary::{Failed, LeaderView, MemberView};
use crate::convert::{ConvertError, required};
use crate::member::applied::Applied;
use crate::member::grants::Grants;
use crate::member::limits::{DEADLINE_MAX, GRANT_WAIT_MAX};
use crate::member::metrics::Meters;
use crate::member::peers::own_read_index;
use crate::member::places::Places;
use crate::member::proposals::Proposals;
use crate::member::quorum::{Quorum, not_leader};
use crate::member::reads::Reads;
use crate::member::sessions::Sessions;
use crate::member::watches::{Subscription, Watches};
use crate::proto;
use crate::proto::answer::Answer;
use crate::proto::request::Request;

/// The parts of a member's service, and what they share.
pub(crate) struct Service {
    pub(crate) cluster: String,
    pub(crate) member: u64,
    pub(crate) quorum: Arc<dyn Quorum>,
    pub(crate) applied: Arc<Applied>,
    pub(crate) proposals: Proposals,
    pub(crate) reads: Reads,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) places: Places,
    /// What this member says of itself.
    pub(crate) view: watch::Receiver<MemberView>,
    /// Connections finish what is under way, and say goodbye.
    pub(crate) leaving: CancellationToken,
    /// Everything ends now.
    pub(crate) stop: CancellationToken,
    /// The tasks of streams: they end by themselves when the member leaves.
    pub(crate) tasks: TaskTracker,
    /// The tasks of subscriptions of this process: they end with the member.
    pub(crate) local_tasks: TaskTracker,
}

impl Service {
    /// Answers a request that has one answer. A listing is whole.
    ///
    /// # Errors
    ///
    /// The refusal says whether the request may have been applied.
    ///
    /// # Cancellation
    ///
    /// Reads and waits end; a proposal that was taken goes its way.
    pub(crate) async fn answer(&self, request: Request, deadline: Instant) -> Result<Answer, Failed> {
        match request {
            Request::Propose(proposal) => self.propose(proposal, deadline).await.map(Answer::Outcome),
            Request::Heartbeat(heartbeat) => self.sessions.heartbeat(&heartbeat).map(Answer::Heartbeat),
            Request::KeepClient(client) => self.sessions.keep_client(client).map(|()| Answer::Done(true)),
            Request::Get(get) => self.reads.get(get, deadline).await.map(Answer::Get),
            Request::List(list) => self.reads.list(list, deadline).await.map(|walk| Answer::List(walk.whole())),
            Request::AwaitGrant(wait) => self.grants.wait(&wait, deadline).await.map(Answer::Granted),
            Request::InspectLock(inspect) => self.reads.lock(inspect, deadline).await.map(Answer::Lock),
            Request::ListDeaths(_) => Ok(Answer::Deaths(self.deaths())),
            Request::Status(_) => Ok(Answer::Status(self.status())),
            Request::ReadIndex(_) => own_read_index(&*self.quorum, deadline).await.map(Answer::ReadIndex),
            Request::Subscribe(_) => {
                Err(Failed::refused(proto::Failure::InvalidArgument, "a subscription has more than one answer"))
            }
        }
    }

    /// Subscribes; returns as soon as this member has applied what the subscriber has seen already, and for a snapshot
    /// what was acknowledged to anybody. The credit that the request carries is given.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`, `LIMIT_EXCEEDED`; `DEADLINE_EXCEEDED`: this member is too far behind; `UNAVAILABLE`: no leader
    /// says how far it should be.
    pub(crate) async fn subscribe(&self, request: proto::Subscribe, deadline: Instant) -> Result<Subscription, Failed> {
        let scope = Scope::try_from(required(request.scope, "scope").map_err(invalid)?).map_err(invalid)?;
        let after = request.after.map(Revision::from);
        let at_least = request.at_least.map(Revision::from).into_iter().chain(after).max();
        if let Some(revision) = at_least {
            self.applied.reached(revision, deadline).await?;
        }
        if after.is_none() {
            // Whatever anybody was told before is in the snapshot, not an event after it.
            self.reads.catch_up(deadline).await?;
        }
        let subscription = self.watches.subscribe(scope, after)?;
        subscription.credit().add(request.credit);
        Ok(subscription)
    }

    /// How this member and the group stand.
    pub(crate) fn status(&self) -> proto::MemberStatus {
        let state = self.quorum.state();
        let log = self.quorum.log_status();
        let view = self.view.borrow();
        proto::MemberStatus {
            cluster: self.cluster.clone(),
            member: self.member,
            leader: view.leader.as_ref().map(proto::Leader::from),
            term: log.term,
            last_log_index: log.last_log_index,
            applied_index: log.applied_index,
            revision: Some(state.revision().into()),
            members: members(&view),
            sessions: state.session_count() as u64,
            keys: state.key_count() as u64,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The answer to a greeting.
    pub(crate) fn welcome(&self) -> proto::Welcome {
        let view = self.view.borrow();
        proto::Welcome {
            protocol: crate::boundary::PROTOCOL,
            cluster: self.cluster.clone(),
            member: self.member,
            leader: Some(leader_message(view.leader.as_ref())),
            members: members(&view),
            refused: None,
        }
    }

    async fn propose(&self, proposal: proto::Proposal, deadline: Instant) -> Result<proto::Outcome, Failed> {
        admission::check(&proposal)?;
        {
            let leadership = self.quorum.leadership();
            let leadership = leadership.borrow();
            if !leadership.leading {
                return Err(not_leader(leadership.leader.as_ref()));
            }
        }
        if proposal.client != 0 {
            self.sessions.proposing(proposal.client);
        }
        self.proposals.submit(proposal, deadline).await
    }

    fn deaths(&self) -> proto::Deaths {
        let state = self.quorum.state();
        proto::Deaths { certificates: state.deaths().cloned().collect() }
    }
}

/// When a request that may wait `deadline_ms` must be answered; 0: as long as a request may wait at all.
fn deadline_of(request: &Request, deadline_ms: u64) -> Instant {
    let longest = if matches!(request, Request::AwaitGrant(_)) { GRANT_WAIT_MAX } else { DEADLINE_MAX };
    let asked = if deadline_ms == 0 { longest } else { Duration::from_millis(deadline_ms) };
    Instant::now() + asked.min(longest)
}

/// What is said of the leader on the wire; nobody is number 0.
fn leader_message(leader: Option<&LeaderView>) -> proto::Leader {
    leader.map(proto::Leader::from).unwrap_or_default()
}

fn members(view: &MemberView) -> Vec<proto::MemberAddress> {
    view.members.iter().map(|(&id, address)| proto::MemberAddress { id, address: address.clone() }).collect()
}

fn invalid(error: ConvertError) -> Failed {
    Failed::Refused(error.into_refusal())
}

impl std::fmt::Debug for Service {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Service").field("member", &self.member).finish_non_exhaustive()
    }
}
