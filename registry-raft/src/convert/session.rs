//! Conversion of what sessions and client identities are opened with.

use std::time::Duration;

use registry_api::{SESSION_TTL_MAX, SESSION_TTL_MIN};

use super::ConvertError;

/// The longest label of a session or client, in bytes.
pub(crate) const LABEL_LEN_MAX: usize = 255;

/// A time to live, checked against its range.
pub(crate) fn ttl_of(milliseconds: u64) -> Result<Duration, ConvertError> {
    let ttl = Duration::from_millis(milliseconds);
    if ttl < SESSION_TTL_MIN || ttl > SESSION_TTL_MAX {
        return Err(ConvertError::Invalid(format!(
            "a session lives between {SESSION_TTL_MIN:?} and {SESSION_TTL_MAX:?}; {ttl:?} is asked for"
        )));
    }
    Ok(ttl)
}

/// Refuses a label that is too long.
pub(crate) fn check_label(label: &str) -> Result<(), ConvertError> {
    if label.len() > LABEL_LEN_MAX {
        let len = label.len();
        return Err(ConvertError::Invalid(format!("a label has at most {LABEL_LEN_MAX} bytes; this one has {len}")));
    }
    Ok(())
}
