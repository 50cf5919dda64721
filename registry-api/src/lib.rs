//! One contract for coordination backends, and the handles applications hold.

mod capability;
mod connection;
mod entry;
mod error;
mod event;
mod key;
mod listing;
mod lock;
mod options;
mod registry;
mod revision;
mod session;
mod subscription;
mod transaction;

pub use capability::{Capability, Support};
pub use connection::{ConnectionPublisher, ConnectionState, ConnectionWatch};
pub use entry::Entry;
pub use error::{Effect, Error, ErrorKind, Operation, Result};
pub use event::{Event, SnapshotReason};
pub use key::{KEY_LEN_MAX, Key, KeyError, SEGMENT_LEN_MAX, Scope};
pub use listing::{Child, ListContents, ListOptions, Listing};
pub use lock::{FencingToken, LockGrant, LockName, LockRequest, LockStatus, LockWait, Waiter};
pub use options::{
    DeleteOptions, Deleted, ForeignOwner, Lifetime, Lookup, Precondition, PutOptions, ReadLevel, VALUE_LEN_MAX,
};
pub use registry::Registry;
pub use revision::Revision;
pub use session::{
    Heartbeat, SESSION_TTL_DEFAULT, SESSION_TTL_MAX, SESSION_TTL_MIN, SessionGrant, SessionId, SessionOptions,
};
pub use subscription::{SubscribeFrom, Subscription};
pub use transaction::{
    Check, Committed, Mutation, TRANSACTION_LEN_MAX, Transaction, TransactionBuilder, TransactionError,
};
