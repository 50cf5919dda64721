//! Durable storage: the segmented log, the vote, snapshots and the data directory.
