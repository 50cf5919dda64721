//! The checks of input that hold for every backend, each with the line that a user sees.

use std::time::Duration;

use humantime::format_duration;

use crate::{
    Precondition, SESSION_LABEL_LEN_MAX, SESSION_TTL_MAX, SESSION_TTL_MIN, Scope, SessionOptions, VALUE_LEN_MAX,
};

/// Refuses a value that is too long.
pub(crate) fn check_value(value: &[u8]) -> Result<(), String> {
    if value.len() <= VALUE_LEN_MAX {
        return Ok(());
    }
    Err(format!("the value has {} bytes; at most {VALUE_LEN_MAX} are allowed", value.len()))
}

/// Refuses a ttl out of range and a label that is too long.
pub(crate) fn check_session(options: &SessionOptions) -> Result<(), String> {
    check_range("the ttl", options.ttl, SESSION_TTL_MIN, SESSION_TTL_MAX)?;
    let len = options.label.len();
    if len <= SESSION_LABEL_LEN_MAX {
        return Ok(());
    }
    Err(format!("the label has {len} bytes; at most {SESSION_LABEL_LEN_MAX} are allowed"))
}

/// Refuses a precondition of one key with a scope of many.
pub(crate) fn check_delete(scope: &Scope, precondition: &Precondition) -> Result<(), String> {
    let of_one_key = match precondition {
        Precondition::None | Precondition::LockHeld(_) => false,
        Precondition::Absent | Precondition::At(_) | Precondition::OwnedBy(_) => true,
    };
    if !of_one_key || matches!(scope, Scope::Key(_)) {
        return Ok(());
    }
    Err(format!("a precondition of one key cannot guard the delete of many ({scope}); only LockHeld can"))
}

/// Refuses a duration out of range, naming the range.
pub(crate) fn check_range(name: &str, value: Duration, least: Duration, most: Duration) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let (value, least, most) = (format_duration(value), format_duration(least), format_duration(most));
    Err(format!("{name} = \"{value}\" is out of range: \"{least}\" to \"{most}\" are allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, Revision, SessionId};

    #[test]
    fn a_value_of_the_longest_length_is_allowed_and_one_byte_more_is_not() {
        assert!(check_value(&vec![0; VALUE_LEN_MAX]).is_ok());
        assert!(check_value(&vec![0; VALUE_LEN_MAX + 1]).unwrap_err().contains("524289"));
    }

    #[test]
    fn the_ends_of_the_range_of_a_ttl_are_allowed_and_nothing_beyond() {
        let tick = Duration::from_millis(1);
        for ttl in [SESSION_TTL_MIN, SESSION_TTL_MAX] {
            assert!(check_session(&SessionOptions::with_ttl(ttl)).is_ok(), "{ttl:?}");
        }
        for ttl in [Duration::ZERO, SESSION_TTL_MIN - tick, SESSION_TTL_MAX + tick, Duration::MAX] {
            assert!(check_session(&SessionOptions::with_ttl(ttl)).is_err(), "{ttl:?}");
        }
    }

    #[test]
    fn a_label_is_measured_in_bytes() {
        let labelled = |label: String| check_session(&SessionOptions { label, ..SessionOptions::default() });
        assert!(labelled("x".repeat(SESSION_LABEL_LEN_MAX)).is_ok());
        assert!(labelled("é".repeat(SESSION_LABEL_LEN_MAX)).is_err());
    }

    #[test]
    fn only_a_lock_can_guard_the_delete_of_many_keys() {
        let key: Key = "/a".parse().unwrap();
        let of_one = [Precondition::Absent, Precondition::At(Revision::ZERO), Precondition::OwnedBy(SessionId::new(1))];
        for precondition in &of_one {
            assert!(check_delete(&Scope::Key(key.clone()), precondition).is_ok());
            for many in [Scope::Tree(key.clone()), Scope::Children(key.clone()), Scope::All] {
                assert!(check_delete(&many, precondition).is_err(), "{many} {precondition:?}");
            }
        }
        assert!(check_delete(&Scope::All, &Precondition::None).is_ok());
    }
}
