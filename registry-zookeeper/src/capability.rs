//! What this backend promises, and why not more.

use registry_api::{Capability, Support};

pub(crate) fn support(capability: Capability) -> Support {
    match capability {
        Capability::EveryVersion => {
            Support::Unsupported("a watch tells that a node changed, and it is read back: quick changes are one")
        }
        Capability::ResumeFromRevision => Support::Unsupported("ZooKeeper keeps no history of changes to read from"),
        Capability::AtomicSubtreeDelete => {
            Support::Limited("a tree that does not fit into one request (512 KiB of paths) is deleted in several")
        }
        Capability::LinearizableReads => {
            Support::Limited("sync and read: a leader that was deposed and does not know it yet answers a sync")
        }
        Capability::AbaSafePreconditions => Support::Limited(
            "checked by a read and then by the node's version: a key deleted and created again in between can pass",
        ),
        Capability::AtomicTransactions
        | Capability::PreviousValue
        | Capability::SessionEndsAtOneRevision
        // What it proposes in its old epoch nobody accepts.
        | Capability::SessionsOutliveStalledLeader => Support::Full,
        Capability::AtomicListing => Support::Limited("up to 2000 nodes are read at one moment, more in parts"),
        Capability::SessionAdoption => {
            Support::Unsupported("a ZooKeeper session lives by its own connection and its password")
        }
        _ => Support::Unsupported("not known to this backend"),
    }
}
