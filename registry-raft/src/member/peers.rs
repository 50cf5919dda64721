//! How a follower asks its leader: over the connections that every client uses.

use async_trait::async_trait;
use tokio::time::Instant;

use crate::boundary::{Boundary, Failed};
use crate::client::{Links, Target};
use crate::member::quorum::LeaderHint;
use crate::member::reads::AskLeader;
use crate::proto;
use crate::proto::answer::Answer;
use crate::proto::request::Request;

#[async_trait]
impl AskLeader for Links {
    async fn read_index(&self, leader: &LeaderHint, deadline: Instant) -> Result<u64, Failed> {
        if leader.address.is_empty() {
            return Err(Failed::NotSent(format!("the address of the leader, member {}, is not known", leader.id)));
        }
        let target = Target { id: leader.id, address: leader.address.clone() };
        match self.to(&target).request(Request::ReadIndex(proto::ReadIndex {}), deadline).await? {
            Answer::ReadIndex(index) => Ok(index),
            _other => {
                Err(Failed::Lost("the leader answered a question for its read index with something else".to_owned()))
            }
        }
    }
}
