//! What a member lets into the log of what clients propose.

use super::{ConvertError, delete_parts, put_parts, transaction_of};
use crate::proto;
use crate::proto::command::Command;

/// Checks a proposal that comes from a client, before it is proposed.
///
/// A command that no member understands must never reach the log, where it stops every member that reads it; what could
/// only be refused need not. And some things only a leader says: commands without an identity, except the one that makes
/// it, and certificates of death.
///
/// # Errors
///
/// The refusal for the client; nothing was applied.
pub(crate) fn check_proposal(proposal: &proto::Proposal) -> Result<(), proto::Refusal> {
    check(proposal).map_err(ConvertError::into_refusal)
}

fn check(proposal: &proto::Proposal) -> Result<(), ConvertError> {
    let command = proposal.command.as_ref().and_then(|command| command.command.as_ref());
    let command = command.ok_or(ConvertError::Unknown("a command"))?;
    if proposal.client == 0 && !matches!(command, Command::RegisterClient(_)) {
        return Err(ConvertError::invalid("a command needs a client identity"));
    }
    match command {
        Command::Put(put) => put_parts(put).map(drop),
        Command::Delete(delete) => delete_parts(delete).map(drop),
        Command::Commit(commit) => transaction_of(commit).map(drop),
        Command::EndSession(end) if end.certificate.is_some() => {
            Err(ConvertError::invalid("a certificate of death is written by the leader"))
        }
        Command::EndClient(end) if end.client != proposal.client => {
            Err(ConvertError::invalid("a client ends no identity but its own"))
        }
        // The others have no part that an older version could not know.
        _ => Ok(()),
    }
}
