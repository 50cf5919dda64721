//! The wall clock, shown to people; nothing is decided by it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, as JSON and the page show them; 0 on a clock before that.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the time of day is shown to people and decides nothing")]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
