//! What an etcd cluster gives, with the reasons.

use registry_api::{Capability, Support};

/// How far etcd gives a capability.
pub(crate) fn support(capability: Capability) -> Support {
    match capability {
        // A watch tells every revision of its range, in order.
        Capability::EveryVersion
        // Watches begin at a revision; one that was compacted is refused, and a snapshot follows.
        | Capability::ResumeFromRevision
        // Ranges are deleted by one transaction.
        | Capability::AtomicSubtreeDelete
        // Reads are confirmed by a quorum (ReadIndex) unless they ask to be stale.
        | Capability::LinearizableReads
        // The revision of a change is never given again.
        | Capability::AbaSafePreconditions
        | Capability::AtomicTransactions
        // The pages of a listing are read at one revision.
        | Capability::AtomicListing
        // Watches ask for the previous entry; where compaction took it, a snapshot is sent instead.
        | Capability::PreviousValue
        // The end of a lease is one change of the store.
        | Capability::SessionEndsAtOneRevision
        // A lease belongs to nobody: whoever knows its id keeps it alive.
        | Capability::SessionAdoption => Support::Full,
        // It looks whether it still leads only where its own clock has not ticked meanwhile, and that ticks first.
        Capability::SessionsOutliveStalledLeader => Support::Limited(
            "a leader of etcd that stood still for a ttl may end sessions as it goes on, although its successor kept them alive",
        ),
        _ => Support::Unsupported("this backend does not know this capability"),
    }
}
