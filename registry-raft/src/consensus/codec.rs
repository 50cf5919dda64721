//! Between openraft's types and our own wire and disk messages: openraft's own layout is never sent or stored.

use std::collections::{BTreeMap, BTreeSet};

use openraft::entry::RaftEntry;
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult, VoteRequest, VoteResponse};
use openraft::vote::RaftLeaderId;
use prost::Message;

use super::types::{
    Command, Entry, LeaderId, LogId, Member, Membership, Payload, Raft, SnapshotMeta, StoredMembership, Vote, log_id,
};
use crate::proto;
use crate::proto::append_response::Result as Appended;

/// A message or a record that means nothing to this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}: {reason}")]
pub(crate) struct Malformed {
    what: &'static str,
    reason: String,
}

impl Malformed {
    fn new(what: &'static str, reason: impl ToString) -> Self {
        Self { what, reason: reason.to_string() }
    }

    fn missing(what: &'static str) -> Self {
        Self::new(what, "absent")
    }
}

impl From<Malformed> for std::io::Error {
    fn from(malformed: Malformed) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, malformed)
    }
}

pub(crate) fn position(id: &LogId) -> proto::LogPosition {
    proto::LogPosition { term: **id.committed_leader_id(), index: id.index }
}

pub(crate) fn log_id_of(position: proto::LogPosition) -> LogId {
    log_id(position.term, position.index)
}

pub(crate) fn ballot(vote: &Vote) -> proto::Ballot {
    proto::Ballot { term: vote.leader_id.term, node: vote.leader_id.voted_for, committed: vote.committed }
}

pub(crate) fn vote_of(ballot: proto::Ballot) -> Vote {
    Vote { leader_id: LeaderId::new(ballot.term, ballot.node), committed: ballot.committed }
}

fn required_vote(ballot: Option<proto::Ballot>, what: &'static str) -> Result<Vote, Malformed> {
    ballot.map(vote_of).ok_or(Malformed::missing(what))
}

pub(crate) fn membership(membership: &Membership) -> proto::MembershipConfig {
    let ids = |set: &BTreeSet<u64>| proto::VoterSet { ids: set.iter().copied().collect() };
    let member = |(id, member): (&u64, &Member)| proto::MemberRecord {
        id: *id,
        address: member.address.clone(),
        birth: member.birth,
    };
    proto::MembershipConfig {
        voter_sets: membership.get_joint_config().iter().map(ids).collect(),
        members: membership.nodes().map(member).collect(),
    }
}

pub(crate) fn membership_of(config: proto::MembershipConfig) -> Result<Membership, Malformed> {
    let sets = config.voter_sets.into_iter().map(|set| set.ids.into_iter().collect()).collect::<Vec<BTreeSet<u64>>>();
    let member = |record: proto::MemberRecord| (record.id, Member { address: record.address, birth: record.birth });
    let members = config.members.into_iter().map(member).collect::<BTreeMap<_, _>>();
    if sets.is_empty() && members.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(sets, members).map_err(|error| Malformed::new("membership", error))
}

pub(crate) fn entry(entry: &Entry) -> proto::LogEntry {
    use proto::LogEntryKind::{Batch, Blank, Membership};
    let (kind, payload) = match &entry.payload {
        Payload::Blank => (Blank, bytes::Bytes::new()),
        Payload::Normal(command) => (Batch, command.0.clone()),
        Payload::Membership(config) => (Membership, membership(config).encode_to_vec().into()),
    };
    proto::LogEntry { position: Some(position(&entry.log_id)), kind: kind.into(), payload }
}

pub(crate) fn entry_of(entry: proto::LogEntry) -> Result<Entry, Malformed> {
    use proto::LogEntryKind::{Batch, Blank, Membership, Unspecified};
    let position = entry.position.ok_or(Malformed::missing("log entry position"))?;
    let kind = entry.kind();
    let payload = match kind {
        Blank => Payload::Blank,
        Batch => Payload::Normal(Command(entry.payload)),
        Membership => {
            let config = proto::MembershipConfig::decode(entry.payload)
                .map_err(|error| Malformed::new("membership entry", error))?;
            Payload::Membership(membership_of(config)?)
        }
        Unspecified => return Err(Malformed::new("log entry", format!("unknown kind {}", entry.kind))),
    };
    Ok(Entry::new(log_id_of(position), payload))
}

pub(crate) fn append_request(request: &AppendEntriesRequest<Raft>) -> proto::AppendRequest {
    proto::AppendRequest {
        leader: Some(ballot(&request.vote)),
        previous: request.prev_log_id.as_ref().map(position),
        entries: request.entries.iter().map(entry).collect(),
        committed: request.leader_commit.as_ref().map(position),
    }
}

pub(crate) fn append_request_of(request: proto::AppendRequest) -> Result<AppendEntriesRequest<Raft>, Malformed> {
    Ok(AppendEntriesRequest {
        vote: required_vote(request.leader, "leader of an append")?,
        prev_log_id: request.previous.map(log_id_of),
        entries: request.entries.into_iter().map(entry_of).collect::<Result<_, _>>()?,
        leader_commit: request.committed.map(log_id_of),
    })
}

pub(crate) fn append_response(result: &StreamAppendResult<Raft>) -> proto::AppendResponse {
    let result = match result {
        Ok(last) => Appended::Matched(proto::Matched { last: last.as_ref().map(position) }),
        Err(StreamAppendError::Conflict(at)) => Appended::Conflict(position(at)),
        Err(StreamAppendError::HigherVote(vote)) => Appended::Higher(ballot(vote)),
    };
    proto::AppendResponse { result: Some(result) }
}

pub(crate) fn append_response_of(response: proto::AppendResponse) -> Result<StreamAppendResult<Raft>, Malformed> {
    match response.result {
        Some(Appended::Matched(matched)) => Ok(Ok(matched.last.map(log_id_of))),
        Some(Appended::Conflict(at)) => Ok(Err(StreamAppendError::Conflict(log_id_of(at)))),
        Some(Appended::Higher(vote)) => Ok(Err(StreamAppendError::HigherVote(vote_of(vote)))),
        None => Err(Malformed::missing("append result")),
    }
}

pub(crate) fn vote_request(request: &VoteRequest<Raft>) -> proto::BallotRequest {
    proto::BallotRequest {
        ballot: Some(ballot(&request.vote)),
        last: request.last_log_id.as_ref().map(position),
        transfer: request.leadership_transfer,
    }
}

pub(crate) fn vote_request_of(request: proto::BallotRequest) -> Result<VoteRequest<Raft>, Malformed> {
    Ok(VoteRequest {
        vote: required_vote(request.ballot, "ballot")?,
        last_log_id: request.last.map(log_id_of),
        leadership_transfer: request.transfer,
    })
}

pub(crate) fn vote_response(response: &VoteResponse<Raft>) -> proto::BallotResponse {
    proto::BallotResponse {
        ballot: Some(ballot(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(position),
    }
}

pub(crate) fn vote_response_of(response: proto::BallotResponse) -> Result<VoteResponse<Raft>, Malformed> {
    Ok(VoteResponse {
        vote: required_vote(response.ballot, "ballot of an answer")?,
        vote_granted: response.granted,
        last_log_id: response.last.map(log_id_of),
    })
}

pub(crate) fn snapshot_description(meta: &SnapshotMeta) -> proto::SnapshotDescription {
    proto::SnapshotDescription {
        last: meta.last_log_id.as_ref().map(position),
        membership_at: meta.last_membership.log_id().as_ref().map(position),
        membership: Some(membership(meta.last_membership.membership())),
    }
}

pub(crate) fn snapshot_meta_of(description: proto::SnapshotDescription) -> Result<SnapshotMeta, Malformed> {
    let membership = membership_of(description.membership.ok_or(Malformed::missing("membership of a snapshot"))?)?;
    Ok(SnapshotMeta {
        last_log_id: description.last.map(log_id_of),
        last_membership: StoredMembership::new(description.membership_at.map(log_id_of), membership),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_membership() -> Membership {
        let member = |address: &str, birth| Member { address: address.to_owned(), birth };
        let members = BTreeMap::from([(1, member("a:1", 7)), (2, member("b:1", 0)), (3, member("c:1", u64::MAX))]);
        Membership::new(vec![BTreeSet::from([1, 2]), BTreeSet::from([2])], members).unwrap()
    }

    #[test]
    fn entries_of_every_kind_survive_the_wire() {
        let payloads = [
            Payload::Blank,
            Payload::Normal(Command(bytes::Bytes::from_static(b"batch"))),
            Payload::Membership(some_membership()),
        ];
        for (payload, index) in payloads.into_iter().zip(0..) {
            let sent = Entry::new(log_id(3, index), payload);
            let bytes = entry(&sent).encode_to_vec();
            let received = entry_of(proto::LogEntry::decode(bytes.as_slice()).unwrap()).unwrap();
            assert_eq!(received, sent);
        }
    }

    #[test]
    fn an_entry_of_an_unknown_kind_is_refused() {
        let known = entry(&Entry::new(log_id(1, 1), Payload::Blank));
        for kind in [0, 99] {
            assert!(entry_of(proto::LogEntry { kind, ..known.clone() }).is_err());
        }
    }

    #[test]
    fn an_append_without_a_leader_and_an_entry_without_a_position_are_refused() {
        assert!(append_request_of(proto::AppendRequest::default()).is_err());
        let entry = proto::LogEntry { kind: proto::LogEntryKind::Blank.into(), ..proto::LogEntry::default() };
        assert!(entry_of(entry).is_err());
    }

    #[test]
    fn voters_without_a_record_are_refused() {
        let voter_sets = vec![proto::VoterSet { ids: vec![1] }];
        assert!(membership_of(proto::MembershipConfig { voter_sets, members: Vec::new() }).is_err());
    }

    #[test]
    fn the_description_of_a_snapshot_survives_storage() {
        let stored = StoredMembership::new(Some(log_id(1, 0)), some_membership());
        let meta = SnapshotMeta { last_log_id: Some(log_id(2, 9)), last_membership: stored };
        let bytes = snapshot_description(&meta).encode_to_vec();
        let read = proto::SnapshotDescription::decode(bytes.as_slice()).unwrap();
        assert_eq!(snapshot_meta_of(read).unwrap(), meta);
    }
}
