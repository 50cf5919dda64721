//! A complete registry in this process: for doctests, users' unit tests, and as the model of the conformance suite.
//!
//! It keeps every promise of the contract except the one about crashes: it stores nothing. Time passes through tokio's
//! clock, so tests may pause it. Clients can be cut off from the store ([`Reachability`]), which is how a lost session
//! is shown in a test without waiting for an accident.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use registry_api::memory::{MemoryStore, Reachability};
//! use registry_api::{ErrorKind, Key, RegistryClient};
//!
//! let store = MemoryStore::new();
//! let (near, far) = (store.client(), store.client());
//! far.set_reachable(Reachability::Refusing);
//!
//! let key: Key = "/a".parse()?;
//! RegistryClient::new(near).put(&key, "1").await?;
//! let error = RegistryClient::new(far).get(&key).await.err().ok_or("cut off")?;
//! assert_eq!(*error.kind(), ErrorKind::Unavailable);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod expiry;
mod failure;
mod feed;
mod keys;
mod link;
mod locks;
mod plugin;
mod registry;
mod sessions;
mod state;
mod store;
mod stream;
#[cfg(test)]
mod tests;
mod waiting;

pub use link::Reachability;
pub use plugin::MemoryPlugin;
pub use registry::MemoryRegistry;
pub use store::{MemoryOptions, MemoryStore, MemoryUsage};
