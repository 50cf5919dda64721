//! Input checked once, before anything is sent.

use bytes::Bytes;

use crate::{DeleteOptions, Error, ErrorKind, Key, Operation, RegistryClient, Result, Scope, SessionOptions, limits};

impl RegistryClient {
    pub(super) fn check_put(&self, key: &Key, value: &Bytes) -> Result<()> {
        limits::check_value(value).map_err(|message| self.invalid(Operation::Put, message).with_key(key.clone()))
    }

    pub(super) fn check_delete(&self, scope: &Scope, options: &DeleteOptions) -> Result<()> {
        limits::check_delete(scope, &options.precondition).map_err(|message| self.invalid(Operation::Delete, message))
    }

    pub(super) fn check_session(&self, options: &SessionOptions) -> Result<()> {
        limits::check_session(options).map_err(|message| self.invalid(Operation::OpenSession, message))
    }

    fn invalid(&self, operation: Operation, message: String) -> Error {
        self.refusal(ErrorKind::InvalidArgument, operation, message)
    }
}
