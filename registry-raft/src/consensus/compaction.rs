//! When the log is compacted: by its size, by its entries and by its age, so that a busy log is bounded and an idle
//! one does not keep for ever what a snapshot would hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::shared::Shared;

/// How much may be written before a snapshot is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompactionPolicy {
    /// Bytes of payload. Default 64 MiB: what a restart reads and applies in about a second.
    pub(crate) bytes: u64,
    /// Entries. Default 100 000.
    pub(crate) entries: u64,
    /// Since the first entry after the last snapshot. Default 1 h.
    pub(crate) age: Duration,
    /// Entries in the snapshot that stay in the log, for members that are a little behind. Default 1000.
    pub(crate) entries_kept: u64,
}

impl Default for CompactionPolicy {
    fn default() -> Self {
        Self { bytes: 64 << 20, entries: 100_000, age: Duration::from_secs(3600), entries_kept: 1000 }
    }
}

impl CompactionPolicy {
    fn is_due(&self, written: Written, age: Duration) -> bool {
        written.entries > 0 && (written.entries >= self.entries || written.bytes >= self.bytes || age >= self.age)
    }
}

/// What was appended since this member started, counted by the log store.
#[derive(Debug, Default)]
pub(crate) struct AppendMeter {
    bytes: AtomicU64,
}

impl AppendMeter {
    pub(crate) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What was written since the last snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    entries: u64,
    bytes: u64,
}

/// Looks at the log at an interval and asks for a snapshot when one is due. What the snapshot holds is purged by openraft,
/// except for the newest entries.
pub(crate) async fn compact(shared: Arc<Shared>, meter: Arc<AppendMeter>, policy: CompactionPolicy) {
    let mut snapshot_at = None;
    let mut bytes_at_snapshot = meter.bytes();
    let mut since = Instant::now();
    loop {
        tokio::time::sleep(shared.timing.compaction_check).await;
        let metrics = shared.metrics();
        let next = |id: Option<super::types::LogId>| id.map_or(0, |id| id.index.saturating_add(1));
        if metrics.snapshot != snapshot_at {
            snapshot_at = metrics.snapshot;
            bytes_at_snapshot = meter.bytes();
            since = Instant::now();
        }
        let entries = next(metrics.last_applied).saturating_sub(next(snapshot_at));
        let written = Written { entries, bytes: meter.bytes().saturating_sub(bytes_at_snapshot) };
        if entries == 0 {
            since = Instant::now();
        }
        if policy.is_due(written, since.elapsed()) {
            tracing::debug!(member = shared.identity.node, ?written, "a snapshot is due");
            if shared.core.trigger().snapshot().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: CompactionPolicy =
        CompactionPolicy { bytes: 1000, entries: 10, age: Duration::from_secs(60), entries_kept: 0 };

    #[test]
    fn a_snapshot_is_due_by_entries_by_bytes_or_by_age() {
        let young = Duration::from_secs(1);
        assert!(!POLICY.is_due(Written { entries: 9, bytes: 999 }, young));
        assert!(POLICY.is_due(Written { entries: 10, bytes: 0 }, young));
        assert!(POLICY.is_due(Written { entries: 1, bytes: 1000 }, young));
        assert!(POLICY.is_due(Written { entries: 1, bytes: 1 }, Duration::from_secs(60)));
    }

    #[test]
    fn no_snapshot_is_due_where_nothing_was_written() {
        assert!(!POLICY.is_due(Written { entries: 0, bytes: 0 }, Duration::from_secs(3600)));
    }
}
