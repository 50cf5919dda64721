//! Deletes of whole scopes, each by one transaction.

use std::sync::Arc;

use etcd_client::{Compare, CompareOp, DeleteOptions as RangeDelete, Txn, TxnOp, TxnOpResponse};
use registry_api::{
    Check, DeleteOptions, ErrorKind, Key, ListContents, LockGrant, Mutation, Precondition, ReadLevel, Scope,
};
use tokio::time::Instant;

use super::conversion::{counter_of, key};
use super::range::{KeyRange, after, bytes};
use super::scan::{Reading, Scan};
use super::transact::{Done, as_check};
use crate::connect::{Link, Request};
use crate::error::{Failure, Reason};
use crate::registry::Core;

/// The most ranges that one transaction deletes.
const RANGES_MAX: usize = 120;

impl Core {
    pub(crate) async fn delete(&self, target: &Scope, options: &DeleteOptions) -> Result<Done, Failure> {
        self.lock_root.check_scope(target)?;
        let guard = match (target, &options.precondition) {
            (Scope::Key(key), precondition) => {
                let checks: Vec<Check> = as_check(key, precondition).into_iter().collect();
                return self.transact(&checks, &[Mutation::Delete { key: key.clone() }]).await;
            }
            (_, Precondition::None) => None,
            (_, Precondition::LockHeld(grant)) => Some(grant),
            (many, _) => {
                let message =
                    format!("a precondition of one key cannot guard the delete of many ({many}); only LockHeld can");
                return Err(Failure::invalid(message));
            }
        };
        let deadline = self.connection.deadline();
        match target {
            Scope::Children(parent) => self.delete_children(parent, guard, deadline).await,
            many => {
                let done = self.delete_ranges(self.lock_root.visible(many), guard, None, deadline).await?;
                done.ok_or_else(Failure::lock_lost)
            }
        }
    }

    /// Deletes the direct children: what they are is read first, and the transaction holds only while nothing below
    /// the parent was written since.
    async fn delete_children(
        &self,
        parent: &Key,
        guard: Option<&LockGrant>,
        deadline: Instant,
    ) -> Result<Done, Failure> {
        loop {
            let (ranges, revision) = match self.ranges_of_children(parent, deadline).await {
                Err(failure) if failure.reason == Reason::Compacted => continue,
                read => read?,
            };
            if ranges.len() > RANGES_MAX {
                let message = format!(
                    "the children are split into {} groups by deeper keys; etcd deletes {RANGES_MAX} at once: delete them one by one, or the tree",
                    ranges.len()
                );
                return Err(Failure::refused(ErrorKind::LimitExceeded, message));
            }
            let whole = KeyRange::below(bytes(parent));
            let unchanged = Compare::mod_revision(whole.start, CompareOp::Less, revision + 1).with_range(whole.end);
            if let Some(done) = self.delete_ranges(ranges, guard, Some(unchanged), deadline).await? {
                return Ok(done);
            }
            if let Some(grant) = guard {
                self.check_held(grant, deadline).await?;
            }
            if Instant::now() >= deadline {
                let message = "the children changed faster than they could be deleted";
                return Err(Failure::refused(ErrorKind::DeadlineExceeded, message));
            }
        }
    }

    /// The direct children of a key as ranges that hold nothing else, and the revision that shows them.
    async fn ranges_of_children(&self, parent: &Key, deadline: Instant) -> Result<(Vec<KeyRange>, i64), Failure> {
        let reading = Reading { contents: ListContents::KeysOnly, level: ReadLevel::Linearizable, deadline };
        let mut scan = Scan::new(&self.connection, vec![KeyRange::below(bytes(parent))], reading);
        let scope = Scope::Children(parent.clone());
        let mut ranges: Vec<KeyRange> = Vec::new();
        let mut together = false;
        while let Some(found) = scan.next_page().await? {
            for found in &found {
                let is_child =
                    !self.lock_root.hides(found.key()) && key(found.key()).is_some_and(|key| scope.contains(&key));
                match ranges.last_mut() {
                    Some(last) if is_child && together => last.end = after(found.key()),
                    _ if is_child => ranges.push(KeyRange::one(found.key())),
                    _ => {}
                }
                together = is_child;
            }
        }
        Ok((ranges, scan.revision()))
    }

    /// Deletes ranges at one revision; `None` where the guard or the condition does not hold.
    async fn delete_ranges(
        &self,
        ranges: Vec<KeyRange>,
        guard: Option<&LockGrant>,
        condition: Option<Compare>,
        deadline: Instant,
    ) -> Result<Option<Done>, Failure> {
        let held = guard.map(|grant| {
            let token = counter_of(grant.token.revision()).unwrap_or(-1);
            Compare::create_revision(self.lock_root.place_of(grant), CompareOp::Equal, token)
        });
        let compares: Vec<_> = held.into_iter().chain(condition).collect();
        let deletes =
            ranges.into_iter().map(|range| TxnOp::delete(range.start, Some(RangeDelete::new().with_range(range.end))));
        let txn = Txn::new().when(compares).and_then(deletes.collect::<Vec<_>>());
        let send = |link: Arc<Link>| {
            let txn = txn.clone();
            async move { link.kv().txn(txn).await }
        };
        let answer = self.connection.call(Request::Once, deadline, send).await?;
        let revision = answer.header().map(etcd_client::ResponseHeader::revision).unwrap_or_default();
        self.connection.saw(revision);
        let count = |response: TxnOpResponse| match response {
            TxnOpResponse::Delete(deleted) => usize::try_from(deleted.deleted()).unwrap_or_default(),
            _ => 0,
        };
        let deleted = answer.op_responses().into_iter().map(count).sum();
        Ok(answer.succeeded().then_some(Done { revision, deleted }))
    }

    /// Refuses unless the lock is held under this grant.
    async fn check_held(&self, grant: &LockGrant, deadline: Instant) -> Result<(), Failure> {
        let place = self.lock_root.place_of(grant);
        let send = |link: Arc<Link>| {
            let place = place.clone();
            async move { link.kv().get(place, None).await }
        };
        let answer = self.connection.call(Request::Read, deadline, send).await?;
        let token = counter_of(grant.token.revision());
        let held = answer.kvs().first().is_some_and(|place| Some(place.create_revision()) == token);
        if held { Ok(()) } else { Err(Failure::lock_lost()) }
    }
}
