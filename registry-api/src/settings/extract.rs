//! Strict reading of a section: unknown keys are refused, with the nearest known one and the source.

use figment::value::{Dict, Value};
use figment::{Figment, Metadata, Profile, Source};
use serde::de::DeserializeOwned;

use super::{ENVIRONMENT_PREFIX, refusal};
use crate::Result;

/// Reads the section that `figment` is focused on, strictly.
///
/// `section` is its name for messages, such as `registry.raft`. `known` are its keys; a known key may be a table, whose
/// own keys are not looked at here, or a path into one, such as `tls.certificate`.
///
/// # Errors
///
/// [`Configuration`](crate::ErrorKind::Configuration): a key that is not known (the nearest known one is named), or a
/// value that is not right. The message says where it was set: the file or the environment variable.
///
/// ```
/// use figment::Figment;
/// use figment::providers::{Format, Toml};
/// use registry_api::settings;
///
/// #[derive(serde::Deserialize)]
/// struct Raft {
///     node: u64,
/// }
///
/// let figment = Figment::from(Toml::string("nodee = 1"));
/// let error = settings::extract::<Raft>(&figment, "registry.raft", &["node"]).err().ok_or("refused")?;
/// assert!(error.to_string().contains("did you mean \"node\"?"));
/// # Ok::<(), &str>(())
/// ```
pub fn extract<T: DeserializeOwned>(figment: &Figment, section: &str, known: &[&str]) -> Result<T> {
    let values: Dict = figment.extract().map_err(|error| refusal(told(figment, section, &error)))?;
    if let Some(path) = unknown(&values, "", known) {
        return Err(refusal(unknown_key(figment, section, &path, known)));
    }
    figment.extract().map_err(|error| refusal(told(figment, section, &error)))
}

/// Refuses a section that is something else than a table.
pub(super) fn refuse_scalars(figment: &Figment, section: &str, tables: &[&str]) -> Result<()> {
    for name in tables {
        let Ok(value) = figment.find_value(name) else { continue };
        if value.as_dict().is_none() {
            let source = source_of(figment, section, name);
            return Err(refusal(format!("{name} in [{section}] ({source}) has to be a section: [{section}.{name}]")));
        }
    }
    Ok(())
}

/// Where a key of a section was set, for messages: the file, the environment variable, or the default.
#[must_use]
pub fn source_of(figment: &Figment, section: &str, key: &str) -> String {
    match figment.find_metadata(key) {
        Some(metadata) => describe(metadata, section, key),
        None => "not set".to_owned(),
    }
}

/// The name among `known` that `name` was probably meant to be.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()).div_ceil(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The path of the first key that is not known.
fn unknown(values: &Dict, prefix: &str, known: &[&str]) -> Option<String> {
    values.iter().find_map(|(name, value)| {
        let path = format!("{prefix}{name}");
        if known.contains(&path.as_str()) {
            return None;
        }
        let below = format!("{path}.");
        match value {
            Value::Dict(_, table) if known.iter().any(|key| key.starts_with(&below)) => unknown(table, &below, known),
            _ => Some(path),
        }
    })
}

fn unknown_key(figment: &Figment, section: &str, path: &str, known: &[&str]) -> String {
    let source = source_of(figment, section, path);
    match nearest(path, known.iter().copied()) {
        Some(near) => format!("unknown key {path:?} in [{section}] ({source}); did you mean {near:?}?"),
        None => format!("unknown key {path:?} in [{section}] ({source}); known keys: {}", known.join(", ")),
    }
}

fn told(figment: &Figment, section: &str, error: &figment::Error) -> String {
    let path = error.path.join(".");
    if path.is_empty() {
        return format!("[{section}]: {}", error.kind);
    }
    let source = match &error.metadata {
        Some(metadata) => describe(metadata, section, &path),
        None => source_of(figment, section, &path),
    };
    format!("{path} in [{section}] ({source}): {}", error.kind)
}

fn describe(metadata: &Metadata, section: &str, key: &str) -> String {
    if metadata.name.contains("environment variable") {
        return format!("environment variable {}", variable(section, key));
    }
    match &metadata.source {
        Some(Source::File(path)) => format!("file {}", path.display()),
        Some(source) => source.to_string(),
        None => metadata.interpolate(&Profile::Default, &[key]),
    }
}

fn variable(section: &str, key: &str) -> String {
    let inner = section.strip_prefix("registry").unwrap_or(section).trim_start_matches('.');
    let path = if inner.is_empty() { key.to_owned() } else { format!("{inner}.{key}") };
    format!("{ENVIRONMENT_PREFIX}{}", path.replace('.', "__").to_ascii_uppercase())
}
