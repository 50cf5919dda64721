//! What a client may propose: checked before it is queued, so that nothing but commands of clients enters the log for
//! them.

use prost::Message;
use registry_api::VALUE_LEN_MAX;

use crate::boundary::Failed;
use crate::member::limits::PROPOSAL_BYTES_MAX;
use crate::proto;
use crate::proto::command::Command;

/// Checks a proposal of a client. What the command means is checked by the state machine.
pub(super) fn check(proposal: &proto::Proposal) -> Result<(), Failed> {
    let Some(command) = proposal.command.as_ref().and_then(|command| command.command.as_ref()) else {
        return Err(Failed::refused(proto::Failure::Unsupported, "this member does not know the command"));
    };
    let has_identity = proposal.client != 0;
    match command {
        Command::RegisterClient(_) => {}
        _ if !has_identity => return Err(invalid("a command needs the client identity that it is proposed under")),
        Command::EndClient(end) if end.client != proposal.client => {
            return Err(invalid("a client ends its own identity only"));
        }
        Command::EndSession(end) if end.certificate.is_some() => {
            return Err(invalid("only the leader ends a session with a certificate"));
        }
        Command::Put(put) => check_value(put)?,
        Command::Commit(commit) => commit.mutations.iter().try_for_each(|mutation| match &mutation.mutation {
            Some(proto::mutation::Mutation::Put(put)) => check_value(put),
            Some(proto::mutation::Mutation::Delete(_)) | None => Ok(()),
        })?,
        Command::EndClient(_)
        | Command::OpenSession(_)
        | Command::EndSession(_)
        | Command::Delete(_)
        | Command::Acquire(_)
        | Command::Abandon(_)
        | Command::Release(_) => {}
    }
    let len = proposal.encoded_len();
    if len > PROPOSAL_BYTES_MAX {
        return Err(invalid(format!("the change has {len} bytes; at most {PROPOSAL_BYTES_MAX} fit into one")));
    }
    Ok(())
}

fn check_value(put: &proto::Put) -> Result<(), Failed> {
    if put.value.len() <= VALUE_LEN_MAX {
        return Ok(());
    }
    Err(Failed::Refused(proto::Refusal {
        failure: proto::Failure::InvalidArgument.into(),
        message: format!("the value has {} bytes; at most {VALUE_LEN_MAX} are allowed", put.value.len()),
        key: put.key.clone(),
        ..proto::Refusal::default()
    }))
}

fn invalid(message: impl Into<String>) -> Failed {
    Failed::refused(proto::Failure::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(client: u64, command: Command) -> proto::Proposal {
        let command = Some(proto::Command { command: Some(command) });
        proto::Proposal { client, command, ..proto::Proposal::default() }
    }

    #[test]
    fn a_client_cannot_declare_a_session_dead_or_end_the_identity_of_another() {
        let certificate = Some(proto::DeathCertificate::default());
        let expiry = Command::EndSession(proto::EndSession { session: 7, certificate });
        assert!(check(&proposal(1, expiry)).is_err());
        assert!(check(&proposal(1, Command::EndClient(proto::EndClient { client: 2 }))).is_err());
        assert!(check(&proposal(1, Command::EndClient(proto::EndClient { client: 1 }))).is_ok());
    }

    #[test]
    fn only_a_registration_comes_without_an_identity() {
        assert!(check(&proposal(0, Command::RegisterClient(proto::RegisterClient::default()))).is_ok());
        assert!(check(&proposal(0, Command::Put(proto::Put::default()))).is_err());
    }

    #[test]
    fn the_longest_value_is_taken_and_one_byte_more_is_not() {
        let put = |len: usize| Command::Put(proto::Put { value: vec![0; len].into(), ..proto::Put::default() });
        assert!(check(&proposal(1, put(VALUE_LEN_MAX))).is_ok());
        assert!(check(&proposal(1, put(VALUE_LEN_MAX + 1))).is_err());
    }

    #[test]
    fn a_command_that_is_not_known_never_reaches_the_log() {
        let empty = proto::Proposal { client: 1, command: Some(proto::Command::default()), ..Default::default() };
        assert!(
            matches!(check(&empty), Err(Failed::Refused(refusal)) if refusal.failure() == proto::Failure::Unsupported)
        );
    }
}
