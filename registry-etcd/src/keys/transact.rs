//! Changes: put, delete of one key, and transactions are one and the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use etcd_client::{Txn, TxnOpResponse, TxnResponse};
use registry_api::{Check, ErrorKind, Key, Mutation, Precondition};
use tokio::time::Instant;

use super::judge::Evidence;
use super::plan::{Plan, TXN_LEN_MAX};
use crate::connect::{Link, Request};
use crate::error::{Failure, Reason};
use crate::registry::Core;

/// What a change did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// The revision of the change; where nothing changed, the revision at which that was seen.
    pub(crate) revision: i64,
    /// How many keys were deleted.
    pub(crate) deleted: usize,
}

impl Core {
    /// Makes all changes at one revision, or none.
    ///
    /// The transaction is refused for a broken rule, which the evidence that comes with the refusal names, or because
    /// it was guessed wrongly what the ephemeral puts find; then it is sent again with what was seen.
    pub(crate) async fn transact(&self, checks: &[Check], mutations: &[Mutation]) -> Result<Done, Failure> {
        let plan = Plan::new(checks, mutations, &self.lock_root)?;
        let deadline = self.connection.deadline();
        let mut guesses = BTreeMap::new();
        loop {
            let answer = self.send(Request::Once, plan.txn(&guesses)?, deadline).await;
            let answer = answer.map_err(|failure| match (failure.reason, plan.session) {
                (Reason::LeaseNotFound, Some(session)) => Failure::session_ended(session),
                _ => failure,
            })?;
            let revision = answer.header().map(etcd_client::ResponseHeader::revision).unwrap_or_default();
            self.connection.saw(revision);
            if let Some(deleted) = outcome(&answer) {
                return Ok(Done { revision, deleted });
            }
            let evidence = match self.evidence(&plan, &answer, revision, deadline).await {
                Err(failure) if failure.reason == Reason::Compacted => continue,
                evidence => evidence?,
            };
            if let Err(refusal) = plan.judge(&evidence) {
                return Err(self.with_the_end_of_the_session(&plan, refusal).await);
            }
            if Instant::now() >= deadline {
                let message = "the key changed its owner faster than it could be put";
                return Err(Failure::refused(ErrorKind::DeadlineExceeded, message));
            }
            guesses = plan.guesses(&evidence);
        }
    }

    async fn send(&self, request: Request, txn: Txn, deadline: Instant) -> Result<TxnResponse, Failure> {
        let send = |link: Arc<Link>| {
            let txn = txn.clone();
            async move { link.kv().txn(txn).await }
        };
        self.connection.call(request, deadline, send).await
    }

    /// What was read with the refusal, and what did not fit into it, all at the same revision.
    async fn evidence(
        &self,
        plan: &Plan<'_>,
        refusal: &TxnResponse,
        revision: i64,
        deadline: Instant,
    ) -> Result<Evidence, Failure> {
        let mut evidence = Evidence::of(refusal);
        let rest: Vec<_> = plan.questions().into_iter().skip(TXN_LEN_MAX).collect();
        for questions in rest.chunks(TXN_LEN_MAX) {
            let reads: Vec<_> = questions.iter().map(|question| question.clone().into_op_at(revision)).collect();
            let answer = self.send(Request::Read, Txn::new().and_then(reads), deadline).await?;
            evidence = evidence.and(&answer);
        }
        Ok(evidence)
    }

    /// A refusal, unless the session has ended, which goes before every other reason.
    async fn with_the_end_of_the_session(&self, plan: &Plan<'_>, refusal: Failure) -> Failure {
        let Some(session) = plan.session else { return refusal };
        match self.is_alive(session).await {
            Ok(false) => Failure::session_ended(session),
            Ok(true) | Err(_) => refusal,
        }
    }
}

/// How many keys were deleted by a transaction, or by the one inside it; `None` where it was refused.
fn outcome(answer: &TxnResponse) -> Option<usize> {
    let responses = answer.op_responses();
    if answer.succeeded() {
        let deleted = |response: &TxnOpResponse| match response {
            TxnOpResponse::Delete(deleted) => usize::try_from(deleted.deleted()).unwrap_or_default(),
            _ => 0,
        };
        return Some(responses.iter().map(deleted).sum());
    }
    responses.iter().find_map(|response| match response {
        TxnOpResponse::Txn(inner) => outcome(inner),
        _ => None,
    })
}

/// A precondition on a key as a check; `None` for none.
pub(crate) fn as_check(key: &Key, precondition: &Precondition) -> Option<Check> {
    Some(match precondition {
        Precondition::None => return None,
        Precondition::Absent => Check::Absent(key.clone()),
        Precondition::At(revision) => Check::At(key.clone(), *revision),
        Precondition::OwnedBy(session) => Check::OwnedBy(key.clone(), *session),
        Precondition::LockHeld(grant) => Check::LockHeld(grant.clone()),
    })
}
