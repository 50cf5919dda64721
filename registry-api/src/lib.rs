//! One contract for coordination backends, and the handles applications hold.

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
