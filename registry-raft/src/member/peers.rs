//! How whoever leads is asked: this member itself, or another one over the connections that every client uses.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use crate::boundary::{Boundary, Failed};
use crate::client::{Links, Target};
use crate::member::quorum::{LeaderHint, Quorum};
use crate::member::reads::AskLeader;
use crate::proto;
use crate::proto::answer::Answer;
use crate::proto::request::Request;

/// The members of the group, as those that may lead.
pub(crate) struct Leaders {
    /// This member.
    pub(crate) own: u64,
    pub(crate) quorum: Arc<dyn Quorum>,
    pub(crate) links: Links,
}

#[async_trait]
impl AskLeader for Leaders {
    async fn read_index(&self, leader: &LeaderHint, deadline: Instant) -> Result<u64, Failed> {
        if leader.id == self.own {
            return own_read_index(&*self.quorum, deadline).await;
        }
        if leader.address.is_empty() {
            return Err(Failed::NotSent(format!("the address of the leader, member {}, is not known", leader.id)));
        }
        let target = Target { id: leader.id, address: leader.address.clone() };
        match self.links.to(&target).request(Request::ReadIndex(proto::ReadIndex {}), deadline).await? {
            Answer::ReadIndex(index) => Ok(index),
            _other => {
                Err(Failed::Lost("the leader answered a question for its read index with something else".to_owned()))
            }
        }
    }
}

/// The read index of this member, if it leads.
pub(crate) async fn own_read_index(quorum: &dyn Quorum, deadline: Instant) -> Result<u64, Failed> {
    match timeout_at(deadline, quorum.read_index()).await {
        Ok(result) => result.map_err(Failed::from),
        Err(_elapsed) => Err(Failed::refused(proto::Failure::DeadlineExceeded, "no quorum answered in time")),
    }
}
