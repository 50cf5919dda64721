//! The checks of input that hold for every backend, made before anything is sent.

use bytes::Bytes;
use humantime::format_duration;

use crate::{
    DeleteOptions, ErrorKind, Key, Operation, Precondition, RegistryClient, Result, SESSION_LABEL_LEN_MAX,
    SESSION_TTL_MAX, SESSION_TTL_MIN, Scope, SessionOptions, VALUE_LEN_MAX,
};

impl RegistryClient {
    pub(super) fn check_put(&self, key: &Key, value: &Bytes) -> Result<()> {
        if value.len() <= VALUE_LEN_MAX {
            return Ok(());
        }
        let message = format!("the value has {} bytes; at most {VALUE_LEN_MAX} are allowed", value.len());
        Err(self.refusal(ErrorKind::InvalidArgument, Operation::Put, message).with_key(key.clone()))
    }

    pub(super) fn check_delete(&self, scope: &Scope, options: &DeleteOptions) -> Result<()> {
        let of_one_key = match options.precondition {
            Precondition::None | Precondition::LockHeld(_) => false,
            Precondition::Absent | Precondition::At(_) | Precondition::OwnedBy(_) => true,
        };
        if !of_one_key || matches!(scope, Scope::Key(_)) {
            return Ok(());
        }
        let message = format!("a precondition on one key cannot guard the delete of many ({scope}); use LockHeld");
        Err(self.refusal(ErrorKind::InvalidArgument, Operation::Delete, message))
    }

    pub(super) fn check_session(&self, options: &SessionOptions) -> Result<()> {
        if !(SESSION_TTL_MIN..=SESSION_TTL_MAX).contains(&options.ttl) {
            let message = format!(
                "the ttl {} is out of range: {} to {} are allowed",
                format_duration(options.ttl),
                format_duration(SESSION_TTL_MIN),
                format_duration(SESSION_TTL_MAX),
            );
            return Err(self.refusal(ErrorKind::InvalidArgument, Operation::OpenSession, message));
        }
        if options.label.len() > SESSION_LABEL_LEN_MAX {
            let len = options.label.len();
            let message = format!("the label has {len} bytes; at most {SESSION_LABEL_LEN_MAX} are allowed");
            return Err(self.refusal(ErrorKind::InvalidArgument, Operation::OpenSession, message));
        }
        Ok(())
    }
}
