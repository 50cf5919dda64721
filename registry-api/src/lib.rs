//! One contract for coordination backends, and the handles applications hold.
//!
//! A scheduler (or any program of many processes) needs one shared place that answers four questions at any moment: who
//! is alive, who may act, what changed, and what is the truth. A *registry* is that place: a small store of keys with
//! sessions, locks and subscriptions. Which server keeps it is a matter of configuration.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use registry_api::{
//!     Election, LockWait, Presence, PresenceOptions, RegistryClient, Scope, SessionOptions, memory::MemoryStore,
//! };
//!
//! // Any backend gives the same client; see `Plugins` for the one that the configuration names.
//! let client = RegistryClient::new(MemoryStore::new().client());
//!
//! // Who is alive: registered for as long as the process is there, and mirrored by whoever wants to know.
//! let worker = Presence::announce(&client, PresenceOptions::at("/workers/1".parse()?), "idle").await?;
//! let workers = client.mirror(Scope::Children("/workers".parse()?)).await?;
//! workers.wait_synced().await?;
//! assert_eq!(workers.entries().len(), 1);
//!
//! // Who may act: a leader, and a lock whose holder knows first when it is lost.
//! let session = client.open_session(SessionOptions::default()).await?;
//! let leadership = Election::new(client.clone(), "/leader".parse()?, "master-1").campaign(&session).await?;
//! let plan = session.lock(&"/plans/7".parse()?, LockWait::Forever).await?;
//! plan.put(&"/plans/7/state".parse()?, "running").await?;
//!
//! plan.release().await?;
//! leadership.resign().await?;
//! worker.withdraw().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Reading order
//!
//! 1. What is kept: [`Key`] and [`Scope`], [`Entry`], [`Revision`].
//! 2. [`RegistryClient`]: reading, writing, [`Transaction`]s, [`Subscription`]s and their [`Event`]s.
//! 3. [`Session`]: what ephemeral keys and locks belong to, and until when it can be relied on; [`LockGuard`].
//! 4. What is built from these: [`Presence`], [`Election`], [`Mirror`].
//! 5. [`Error`]: what went wrong, and whether it may have been applied ([`Effect`]).
//! 6. [`Plugins`] and [`RegistrySettings`]: one configuration key chooses the backend.
//! 7. For authors of backends: [`Registry`], with what each method has to keep to be correct; [`Capability`] for what a
//!    server cannot give; the module `memory` (feature `memory`) as a complete example.
//!
//! # What holds everywhere
//!
//! - A change is acknowledged, surely not applied ([`Effect::NotApplied`]), or unknown ([`Effect::Unknown`]). Nothing here
//!   turns the third into one of the others.
//! - Deadlines are monotonic and local; wall clocks decide nothing. The holder of a session or lock gives up before
//!   anybody else can benefit from its loss.
//! - Every queue is bounded, every wait has a deadline, every background task ends with the handle that owns it.
//! - Handles spawn their tasks on the tokio runtime that they are created on.

mod backoff;
mod capability;
mod client;
mod clock;
mod connection;
mod election;
mod entry;
mod error;
mod event;
mod follower;
mod key;
mod limits;
mod listing;
mod lock;
#[cfg(feature = "memory")]
pub mod memory;
mod mirror;
mod namespaced;
mod options;
mod plugin;
mod presence;
mod registry;
mod revision;
mod session;
pub mod settings;
mod subscription;
#[cfg(test)]
mod testbed;
mod transaction;

pub use capability::{Capability, Support};
pub use client::{ClientOptions, RegistryClient};
pub use clock::Deadline;
pub use connection::{ConnectionPublisher, ConnectionState, ConnectionWatch};
pub use election::{Election, Leader, LeaderObserver, Leadership};
pub use entry::Entry;
pub use error::{Effect, Error, ErrorKind, Operation, Result};
pub use event::{Event, SnapshotReason};
pub use key::{KEY_LEN_MAX, Key, KeyError, SEGMENT_LEN_MAX, Scope};
pub use listing::{Child, ListContents, ListOptions, Listing};
pub use lock::{FencingToken, LockGrant, LockGuard, LockName, LockRequest, LockStatus, LockWait, Waiter};
pub use mirror::{MIRROR_CHANGES_MAX, Mirror, MirrorChange, MirrorChanges};
pub use namespaced::Namespaced;
pub use options::{
    DeleteOptions, Deleted, ForeignOwner, Lifetime, Lookup, Precondition, PutOptions, ReadLevel, VALUE_LEN_MAX,
};
pub use plugin::{Plugin, Plugins};
pub use presence::{
    Incarnation, PRESENCE_HEADER_LEN, Presence, PresenceOptions, PresenceRecord, PresenceState, PresenceWatch,
    REFRESH_INTERVAL_MIN,
};
pub use registry::Registry;
pub use revision::Revision;
pub(crate) use session::GiveBack;
pub use session::{
    Heartbeat, SESSION_LABEL_LEN_MAX, SESSION_TTL_DEFAULT, SESSION_TTL_MAX, SESSION_TTL_MIN, Session, SessionEnd,
    SessionGrant, SessionId, SessionOptions, SessionState, SessionWatch,
};
pub use settings::RegistrySettings;
pub use subscription::{SubscribeFrom, Subscription};
pub use transaction::{
    Check, Committed, Mutation, TRANSACTION_LEN_MAX, Transaction, TransactionBuilder, TransactionError,
};
