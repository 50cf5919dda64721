//! Reports that only this backend gives: how the group stands, and why sessions died.

use std::time::Duration;

use registry_api::{Effect, Error, ErrorKind, Operation, Result, Revision, SessionId};

use super::answer::unexpected;
use super::{Inner, RaftRegistry};
use crate::convert::BACKEND;
use crate::proto;
use crate::proto::answer::Answer;
use crate::proto::request::Request;

/// How the group stands, as its members say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RaftStatus {
    /// The name of the cluster.
    pub cluster: String,
    /// The member that leads, as the members with the latest term say; `None` while there is none.
    pub leader: Option<u64>,
    /// The latest term that any member knows.
    pub term: u64,
    /// Every known member, by id.
    pub members: Vec<MemberReport>,
}

/// How one member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberReport {
    /// Its id.
    pub id: u64,
    /// Where it is dialled.
    pub address: String,
    /// What it says of itself; otherwise why it says nothing.
    pub state: Result<MemberState, String>,
}

/// What a member says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberState {
    /// The term that it knows.
    pub term: u64,
    /// Whom it takes for the leader.
    pub leader: Option<u64>,
    /// The end of its log.
    pub last_log_index: u64,
    /// How far it has applied the log.
    pub applied_index: u64,
    /// The revision that it shows.
    pub revision: Revision,
    /// How many sessions are open.
    pub sessions: u64,
    /// How many keys exist.
    pub keys: u64,
    /// Its software version.
    pub version: String,
}

/// What is known of a session that ended by silence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeathCertificate {
    /// The session.
    pub session: u64,
    /// Who opened it, in its own words.
    pub label: String,
    /// Its time to live.
    pub ttl: Duration,
    /// From the last heartbeat that the leader took to the decision to end the session.
    pub silence: Duration,
    /// Round trips of the last heartbeats, as the client measured them, newest last.
    pub round_trips: Vec<Duration>,
    /// How often the leader changed during the session.
    pub leader_changes: u64,
    /// How often the leader itself was stalled, and gave the session a full ttl for it.
    pub leader_stalls: u64,
    /// The member that led when the session was ended.
    pub leader: u64,
    /// The revision at which it ended.
    pub ended_at: Revision,
    /// How many keys ended with it.
    pub keys: u64,
    /// How many locks, and places in queues, ended with it.
    pub locks: u64,
    /// When that was by the wall clock of the leader, since the Unix epoch: for people only.
    pub wall_clock: Duration,
}

impl DeathCertificate {
    /// The session, as the registry names it.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        SessionId::new(self.session)
    }
}

impl RaftRegistry {
    /// Asks every known member how it stands, all at the same time; members that do not answer within the request
    /// timeout are reported as that.
    ///
    /// # Errors
    ///
    /// [`Closed`](ErrorKind::Closed), and [`Unavailable`](ErrorKind::Unavailable) when no member answers.
    pub async fn status(&self) -> Result<RaftStatus> {
        let asked = async { Ok(self.inner.members_status().await) };
        let members = self.inner.while_open(Operation::Connect, Effect::NotApplied, asked).await?;
        let mut status = RaftStatus::default();
        for (report, cluster) in members {
            if let Ok(state) = &report.state {
                status.cluster = cluster;
                if state.term >= status.term {
                    let news = state.term > status.term;
                    status.leader = if news { state.leader } else { status.leader.or(state.leader) };
                    status.term = state.term;
                }
            }
            status.members.push(report);
        }
        if status.members.iter().all(|member| member.state.is_err()) {
            let message = match status.members.first().map(|member| &member.state) {
                Some(Err(reason)) => format!("no member answers; {reason}"),
                _ => "no member is known".to_owned(),
            };
            return Err(Error::new(ErrorKind::Unavailable, Effect::NotApplied, Operation::Connect, BACKEND, message));
        }
        Ok(status)
    }

    /// The death certificates that the group keeps, oldest first: of sessions that ended by silence, a bounded number.
    ///
    /// # Errors
    ///
    /// As of any read.
    pub async fn deaths(&self) -> Result<Vec<DeathCertificate>> {
        match self.inner.read(Operation::Get, Request::ListDeaths(proto::ListDeaths {})).await? {
            Answer::Deaths(deaths) => Ok(deaths.certificates.into_iter().map(Into::into).collect()),
            _ => Err(unexpected(Operation::Get, Effect::NotApplied)),
        }
    }
}

impl Inner {
    async fn members_status(&self) -> Vec<(MemberReport, String)> {
        let request = Request::Status(proto::MemberStatusRequest {});
        let mut reports = Vec::new();
        for (target, answered) in self.router.at_each(&request, self.deadline()).await {
            let (state, cluster) = match answered {
                Ok(Answer::Status(status)) => (Ok(MemberState::from(&status)), status.cluster),
                Ok(_other) => (Err("it answered with something else".to_owned()), String::new()),
                Err(failed) => (Err(failed.to_string()), String::new()),
            };
            reports.push((MemberReport { id: target.id, address: target.address, state }, cluster));
        }
        // The same member may be known at several addresses: the one that answers counts.
        reports.sort_by_key(|(report, _cluster)| (report.id, report.state.is_err()));
        reports.dedup_by_key(|(report, _cluster)| report.id);
        reports
    }
}

impl From<&proto::MemberStatus> for MemberState {
    fn from(status: &proto::MemberStatus) -> Self {
        Self {
            term: status.term,
            leader: status.leader.as_ref().map(|leader| leader.id).filter(|id| *id != 0),
            last_log_index: status.last_log_index,
            applied_index: status.applied_index,
            revision: status.revision.map(Into::into).unwrap_or_default(),
            sessions: status.sessions,
            keys: status.keys,
            version: status.version.clone(),
        }
    }
}

impl From<proto::DeathCertificate> for DeathCertificate {
    fn from(certificate: proto::DeathCertificate) -> Self {
        Self {
            session: certificate.session,
            label: certificate.label,
            ttl: Duration::from_millis(certificate.ttl_ms),
            silence: Duration::from_millis(certificate.silent_ms),
            round_trips: certificate.round_trips_us.into_iter().map(Duration::from_micros).collect(),
            leader_changes: certificate.leader_changes,
            leader_stalls: certificate.leader_stalls,
            leader: certificate.leader,
            ended_at: certificate.ended_at.map(Into::into).unwrap_or_default(),
            keys: certificate.keys,
            locks: certificate.locks,
            wall_clock: Duration::from_millis(certificate.wall_clock_ms),
        }
    }
}
