//! One place in the queue of a lock, at the server.

use std::sync::Arc;

use etcd_client::{
    Compare, CompareOp, GetOptions, KeyValue, PutOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse, TxnResponse,
};
use registry_api::{LockGrant, LockName, SessionId};

use crate::connect::{Link, Request};
use crate::error::{Failure, Reason};
use crate::keys::{counter_of, lease_of};
use crate::registry::Core;

/// How many places before one's own are read at once: more than one, as below the name of a lock there may be others.
const LOOK_BACK: i64 = 16;

/// A place that is asked for, or taken.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: LockName,
    pub(super) session: SessionId,
    pub(super) key: Vec<u8>,
    /// What only this request writes.
    mark: String,
}

/// What became of a request for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is ours; this is its token.
    Ours(i64),
    /// Another client has the place of this session, as of this revision.
    Foreign(i64),
}

/// What the queue looks like from a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// The place is the first.
    First,
    /// Behind this one, as of this revision.
    Behind(Vec<u8>, i64),
    /// The place is gone.
    Gone,
}

impl Place {
    pub(super) fn new(core: &Core, name: &LockName, session: SessionId) -> Self {
        let (key, mark) = (core.lock_root.place(name, session), core.locks.mark());
        Self { name: name.clone(), session, key, mark }
    }

    fn prefix_len(&self, core: &Core) -> usize {
        core.lock_root.places(&self.name).len()
    }
}

impl Core {
    /// Takes a place, unless the session has one. Asking twice is like asking once: the mark tells what is ours.
    pub(super) async fn take_place(&self, place: &Place) -> Result<Taken, Failure> {
        let Some(lease) = lease_of(place.session) else { return Err(Failure::session_ended(place.session)) };
        let put = TxnOp::put(place.key.clone(), place.mark.clone(), Some(PutOptions::new().with_lease(lease)));
        let absent = Compare::create_revision(place.key.clone(), CompareOp::Equal, 0);
        let look = TxnOp::get(place.key.clone(), None);
        let txn = Txn::new().when([absent]).and_then([put]).or_else([look]);
        let answer = self.txn(Request::Repeatable, txn).await.map_err(|failure| match failure.reason {
            Reason::LeaseNotFound => Failure::session_ended(place.session),
            _ => failure,
        })?;
        let at = revision_of(&answer);
        if answer.succeeded() {
            return Ok(Taken::Ours(at));
        }
        match reads(&answer).first().and_then(|found| found.first()) {
            Some(found) if found.value() == place.mark.as_bytes() => Ok(Taken::Ours(found.create_revision())),
            _ => Ok(Taken::Foreign(at)),
        }
    }

    /// Looks at a place and at those before it, at one revision.
    pub(super) async fn look(&self, place: &Place, token: i64) -> Result<Outlook, Failure> {
        let mut limit = LOOK_BACK;
        loop {
            let before = GetOptions::new()
                .with_prefix()
                .with_max_create_revision(token - 1)
                .with_sort(SortTarget::Create, SortOrder::Descend)
                .with_keys_only()
                .with_limit(limit);
            let own = TxnOp::get(place.key.clone(), Some(GetOptions::new().with_keys_only()));
            let before = TxnOp::get(self.lock_root.places(&place.name), Some(before));
            let answer = self.txn(Request::Read, Txn::new().and_then([own, before])).await?;
            let reads = reads(&answer);
            let own = reads.first().and_then(|found| found.first());
            if own.is_none_or(|own| own.create_revision() != token) {
                return Ok(Outlook::Gone);
            }
            let before = reads.get(1).map(Vec::as_slice).unwrap_or_default();
            let prefix = place.prefix_len(self);
            if let Some(next) = before.iter().find(|other| is_place(other.key(), prefix)) {
                return Ok(Outlook::Behind(next.key().to_vec(), revision_of(&answer)));
            }
            if i64::try_from(before.len()).unwrap_or(i64::MAX) < limit {
                return Ok(Outlook::First);
            }
            limit = limit.saturating_mul(4);
        }
    }

    /// Gives a place up that this request took. `true` where it was there.
    pub(super) async fn give_up_place(&self, place: &Place) -> Result<bool, Failure> {
        let ours = Compare::value(place.key.clone(), CompareOp::Equal, place.mark.clone());
        let txn = Txn::new().when([ours]).and_then([TxnOp::delete(place.key.clone(), None)]);
        Ok(self.txn(Request::Repeatable, txn).await?.succeeded())
    }

    /// Gives a grant back. `true` where it was held.
    pub(super) async fn give_up_grant(&self, grant: &LockGrant) -> Result<bool, Failure> {
        let Some(token) = counter_of(grant.token.revision()) else { return Ok(false) };
        let key = self.lock_root.place_of(grant);
        let held = Compare::create_revision(key.clone(), CompareOp::Equal, token);
        let txn = Txn::new().when([held]).and_then([TxnOp::delete(key, None)]);
        Ok(self.txn(Request::Repeatable, txn).await?.succeeded())
    }

    /// The places in the queue of a lock, in order, and the revision that shows them.
    pub(super) async fn places(&self, name: &LockName) -> Result<(Vec<KeyValue>, i64), Failure> {
        let prefix = self.lock_root.places(name);
        let options = GetOptions::new().with_prefix().with_keys_only().with_sort(SortTarget::Create, SortOrder::Ascend);
        let txn = Txn::new().and_then([TxnOp::get(prefix.clone(), Some(options))]);
        let answer = self.txn(Request::Read, txn).await?;
        let mut places = reads(&answer).into_iter().next().unwrap_or_default();
        places.retain(|place| is_place(place.key(), prefix.len()));
        Ok((places, revision_of(&answer)))
    }

    /// A key of the store and the revision that shows it.
    pub(super) async fn place_now(&self, key: &[u8]) -> Result<(Option<KeyValue>, i64), Failure> {
        let txn = Txn::new().and_then([TxnOp::get(key, Some(GetOptions::new().with_keys_only()))]);
        let answer = self.txn(Request::Read, txn).await?;
        let found = reads(&answer).into_iter().next().and_then(|found| found.into_iter().next());
        Ok((found, revision_of(&answer)))
    }

    async fn txn(&self, request: Request, txn: Txn) -> Result<TxnResponse, Failure> {
        let send = |link: Arc<Link>| {
            let txn = txn.clone();
            async move { link.kv().txn(txn).await }
        };
        let answer = self.connection.call(request, self.connection.deadline(), send).await?;
        self.connection.saw(revision_of(&answer));
        Ok(answer)
    }
}

/// Whether a key is a place of the lock whose places have names from `prefix_len` on: deeper keys are other locks.
fn is_place(key: &[u8], prefix_len: usize) -> bool {
    key.get(prefix_len..).is_some_and(|rest| !rest.is_empty() && !rest.contains(&b'/'))
}

fn revision_of(answer: &TxnResponse) -> i64 {
    answer.header().map(etcd_client::ResponseHeader::revision).unwrap_or_default()
}

/// What the reads of a transaction found, in order.
fn reads(answer: &TxnResponse) -> Vec<Vec<KeyValue>> {
    let found = |response| match response {
        TxnOpResponse::Get(mut read) => Some(read.take_kvs()),
        _ => None,
    };
    answer.op_responses().into_iter().filter_map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_a_lock_below_are_none_of_this_one() {
        let prefix = "/locks/l/".len();
        assert!(is_place(b"/locks/l/694d", prefix));
        assert!(!is_place(b"/locks/l/1/694d", prefix));
        assert!(!is_place(b"/locks/l/", prefix));
    }
}
