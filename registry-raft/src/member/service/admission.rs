//! What a client may propose: checked before it is queued, so that nothing but commands of clients enters the log for
//! them.

use prost::Message;

use crate::boundary::Failed;
use crate::convert::check_proposal;
use crate::member::limits::PROPOSAL_BYTES_MAX;
use crate::proto;

/// Checks a proposal of a client: its form here, its meaning in the state machine.
pub(super) fn check(proposal: &proto::Proposal) -> Result<(), Failed> {
    check_proposal(proposal).map_err(Failed::Refused)?;
    let len = proposal.encoded_len();
    if len > PROPOSAL_BYTES_MAX {
        return Err(invalid(format!("the change has {len} bytes; at most {PROPOSAL_BYTES_MAX} fit into one")));
    }
    Ok(())
}

fn invalid(message: impl Into<String>) -> Failed {
    Failed::refused(proto::Failure::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use registry_api::VALUE_LEN_MAX;

    use super::*;
    use crate::proto::command::Command;

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
        let put = |len: usize| {
            let value = vec![0; len].into();
            Command::Put(proto::Put { key: "/a".to_owned(), value, ..proto::Put::default() })
        };
        assert!(check(&proposal(1, put(VALUE_LEN_MAX))).is_ok());
        assert!(check(&proposal(1, put(VALUE_LEN_MAX + 1))).is_err());
    }

    #[test]
    fn a_command_that_is_not_known_never_reaches_the_log() {
        let empty = proto::Proposal { client: 1, command: Some(proto::Command::default()), ..Default::default() };
        assert!(check(&empty).is_err());
    }

    #[test]
    fn a_precondition_that_is_not_known_never_reaches_the_log() {
        let put = proto::Put {
            key: "/a".to_owned(),
            precondition: Some(proto::Precondition::default()),
            ..proto::Put::default()
        };
        assert!(check(&proposal(1, Command::Put(put))).is_err());
    }
}
