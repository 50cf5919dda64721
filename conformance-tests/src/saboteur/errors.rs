//! Saboteurs of errors.

use std::sync::Arc;

use async_trait::async_trait;
use registry_api::{
    ErrorKind, Key, ListOptions, Listing, LockName, LockStatus, Lookup, ReadLevel, Registry, Result, Scope,
};

use super::Saboteur;

/// Takes servers that do not answer for servers that have nothing.
#[derive(Debug)]
pub(super) struct TakesSilenceForAbsence;

fn silence_is_empty<T: Default>(result: Result<T>) -> Result<T> {
    match result {
        Err(error) if *error.kind() == ErrorKind::Unavailable => Ok(T::default()),
        result => result,
    }
}

#[async_trait]
impl Saboteur for TakesSilenceForAbsence {
    async fn get(&self, inner: &Arc<dyn Registry>, key: &Key, read: ReadLevel) -> Result<Lookup> {
        silence_is_empty(inner.get(key, read).await)
    }

    async fn list(&self, inner: &Arc<dyn Registry>, scope: &Scope, options: ListOptions) -> Result<Listing> {
        silence_is_empty(inner.list(scope, options).await)
    }

    async fn inspect_lock(&self, inner: &Arc<dyn Registry>, name: &LockName) -> Result<LockStatus> {
        silence_is_empty(inner.inspect_lock(name).await)
    }
}
