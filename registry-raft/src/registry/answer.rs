//! What answers mean: outcomes and refusals become results, each with its effect.

use registry_api::{Effect, Error, ErrorKind, Operation, Result, Revision};
use tokio::time::Instant;

use super::Inner;
use crate::convert::{BACKEND, ConvertError, error_of};
use crate::proto;
use crate::proto::answer::Answer;
use crate::proto::command::Command;
use crate::proto::outcome::Outcome as Applied;
use crate::proto::request::Request;

/// A command that was applied.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) revision: Revision,
    pub(super) applied: Option<Applied>,
}

impl Inner {
    /// Proposes a command and waits until it is applied.
    pub(super) async fn propose(&self, operation: Operation, command: Command) -> Result<Done> {
        self.while_open(operation, Effect::Unknown, self.propose_until(operation, command, self.deadline())).await
    }

    /// As [`Inner::propose`], with a deadline of its own, and also while the registry is closing.
    pub(super) async fn propose_until(
        &self,
        operation: Operation,
        command: Command,
        deadline: Instant,
    ) -> Result<Done> {
        let outcome =
            self.proposer.propose(command, deadline).await.map_err(|refusal| error_of(&refusal, operation))?;
        let revision = outcome.revision.map(Revision::from).unwrap_or_default();
        self.saw(revision);
        Ok(Done { revision, applied: outcome.outcome })
    }

    /// Asks a member. What fails has changed nothing: these requests never do.
    pub(super) async fn read(&self, operation: Operation, request: Request) -> Result<Answer> {
        let answered = async {
            self.router.read(&request, self.deadline()).await.map_err(|refusal| read_error(refusal, operation))
        };
        self.while_open(operation, Effect::NotApplied, answered).await
    }
}

/// The error of a request that changes nothing, whatever became of it.
pub(super) fn read_error(mut refusal: proto::Refusal, operation: Operation) -> Error {
    refusal.effect_unknown = false;
    error_of(&refusal, operation)
}

/// An answer of another kind than the request asks for.
pub(super) fn unexpected(operation: Operation, effect: Effect) -> Error {
    Error::new(
        ErrorKind::Internal,
        effect,
        operation,
        BACKEND,
        "the member answered with something else than asked for",
    )
}

/// An answer whose content is wrong.
pub(super) fn undecodable(error: ConvertError, operation: Operation, effect: Effect) -> Error {
    let message = format!("the member's answer cannot be used: {error}");
    Error::new(ErrorKind::Internal, effect, operation, BACKEND, message)
}

/// A request that cannot be expressed: it was not sent.
pub(super) fn inexpressible(error: &ConvertError, operation: Operation) -> Error {
    error_of(&error.clone().into_refusal(), operation)
}
