//! Durations in settings: strings with a unit.

use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};

/// Reads a duration such as `"10s"`, `"1m 30s"` or `"500ms"`, for `#[serde(deserialize_with = "..")]`.
///
/// # Errors
///
/// A number without a unit, and anything else that is not a duration.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(WithUnit)
}

/// Like [`duration`], for an `Option` with `#[serde(default, deserialize_with = "..")]`.
///
/// # Errors
///
/// As for [`duration`].
pub fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

struct WithUnit;

impl WithUnit {
    fn refuse<E: Error>(number: impl std::fmt::Display) -> E {
        E::custom(format!("a duration needs a unit: write \"{number}s\" or \"{number}ms\""))
    }
}

impl Visitor<'_> for WithUnit {
    type Value = Duration;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a duration with a unit, such as \"10s\" or \"500ms\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        let hint = |error| E::custom(format!("{text:?} is not a duration such as \"10s\" or \"500ms\": {error}"));
        humantime::parse_duration(text).map_err(hint)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Duration, E> {
        Err(Self::refuse(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Duration, E> {
        Err(Self::refuse(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Duration, E> {
        Err(Self::refuse(number))
    }
}
