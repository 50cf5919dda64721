//! The layers of a configuration: a TOML file, and the environment above it.

use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Toml};

use super::refusal;
use crate::Result;

/// The beginning of the environment variables that are settings of the section `[registry]`.
pub const ENVIRONMENT_PREFIX: &str = "REGISTRY_";
/// Variables of tests (addresses of servers to test with), which are no settings.
const TEST_PREFIX: &str = "test_";

/// The configuration of a program: the TOML file at `file`, and above it the environment. `REGISTRY_SESSION_TTL=20s` sets
/// `session_ttl` in `[registry]`; two underscores go one section down: `REGISTRY_RAFT__DATA_DIR` sets `data_dir` in
/// `[registry.raft]`. Variables that begin with `REGISTRY_TEST_` are left to tests.
///
/// Focus the result on `registry` for [`Plugins::connect`](crate::Plugins::connect); other sections are the program's.
///
/// # Errors
///
/// [`Configuration`](crate::ErrorKind::Configuration): the file cannot be read, or is not TOML.
pub fn layered(file: Option<&Path>) -> Result<Figment> {
    let mut layers = Figment::new();
    if let Some(path) = file {
        // Figment takes a missing file for an empty one.
        let text = std::fs::read_to_string(path)
            .map_err(|error| refusal(format!("the configuration file {} cannot be read: {error}", path.display())))?;
        toml_table(&text)
            .map_err(|error| refusal(format!("the configuration file {} is not valid: {error}", path.display())))?;
        layers = layers.merge(Toml::file_exact(path));
    }
    Ok(layers.merge(environment()))
}

fn toml_table(text: &str) -> Result<figment::value::Dict, String> {
    Toml::from_str(text).map_err(|error| error.to_string())
}

fn environment() -> Env {
    Env::prefixed(ENVIRONMENT_PREFIX)
        .filter(|name| !name.as_str().to_ascii_lowercase().starts_with(TEST_PREFIX))
        .map(|name| format!("registry.{}", name.as_str().replace("__", ".")).into())
}
