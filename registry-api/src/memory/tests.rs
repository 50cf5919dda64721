//! The contract, as the reference keeps it.

mod keys;
mod links;
mod locks;
mod sessions;
mod subscriptions;
mod transactions;

use bytes::Bytes;

use crate::testbed::key;
use crate::{Effect, Error, ErrorKind, PutOptions, ReadLevel, Registry, Revision, SessionId, SessionOptions};

async fn put(registry: &dyn Registry, text: &str, options: PutOptions) -> Result<Revision, Error> {
    registry.put(&key(text), Bytes::from_static(b"v"), options).await
}

async fn persistent(registry: &dyn Registry, text: &str) -> Revision {
    put(registry, text, PutOptions::default()).await.unwrap()
}

async fn session(registry: &dyn Registry) -> SessionId {
    registry.open_session(SessionOptions::default()).await.unwrap().id
}

async fn exists(registry: &dyn Registry, text: &str) -> bool {
    registry.get(&key(text), ReadLevel::Linearizable).await.unwrap().entry.is_some()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    let error = result.unwrap_err();
    assert_eq!(error.effect(), Effect::NotApplied);
    error.kind().clone()
}
