//! Reading the section: from text to typed settings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use humantime::format_duration;
use registry_api::{Key, Result, SESSION_TTL_MAX, SESSION_TTL_MIN, settings};
use serde::Deserialize;

use super::{Access, Credentials, Scheme, Secret, TlsFiles, ZooKeeperSettings, endpoints, refusal};

const SECTION: &str = "registry.zookeeper";
const KNOWN: [&str; 13] = [
    "connect",
    "connect_timeout",
    "request_timeout",
    "session_ttl",
    "lock_root",
    "acl",
    "tls.ca",
    "tls.cert",
    "tls.key",
    "auth.scheme",
    "auth.user",
    "auth.password",
    "auth.password_file",
];
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
struct Raw {
    connect: Option<Servers>,
    #[serde(default, deserialize_with = "settings::optional_duration")]
    connect_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "settings::optional_duration")]
    request_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "settings::optional_duration")]
    session_ttl: Option<Duration>,
    lock_root: Option<String>,
    acl: Option<Access>,
    tls: Option<RawTls>,
    auth: Option<RawAuth>,
}

/// One text with commas, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Servers {
    Text(String),
    List(Vec<String>),
}

#[derive(Deserialize)]
struct RawTls {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Deserialize)]
struct RawAuth {
    scheme: Option<Scheme>,
    user: Option<String>,
    password: Option<String>,
    password_file: Option<PathBuf>,
}

pub(super) fn read(figment: &Figment) -> Result<ZooKeeperSettings> {
    let raw: Raw = settings::extract(figment, SECTION, &KNOWN)?;
    let defaults = ZooKeeperSettings::default();
    let connect = match raw.connect {
        None => return Err(refusal(format!("connect in [{SECTION}] is missing: \"host-1:2181,host-2:2181\""))),
        Some(Servers::Text(text)) => endpoints::parse(&text)?,
        Some(Servers::List(list)) => endpoints::parse(&list.join(","))?,
    };
    if let Some(ttl) = raw.session_ttl {
        in_range("session_ttl", ttl, SESSION_TTL_MIN, SESSION_TTL_MAX)?;
    }
    let credentials = raw.auth.map(credentials).transpose()?;
    let access = raw.acl.unwrap_or_default();
    if access == Access::Creator && credentials.is_none() {
        return Err(refusal("acl = \"creator\" needs auth: nodes without it would be nobody's"));
    }
    Ok(ZooKeeperSettings {
        connect,
        connect_timeout: timeout("connect_timeout", raw.connect_timeout, defaults.connect_timeout)?,
        request_timeout: timeout("request_timeout", raw.request_timeout, defaults.request_timeout)?,
        lock_root: raw.lock_root.as_deref().map(lock_root).transpose()?.unwrap_or(defaults.lock_root),
        access,
        tls: raw.tls.map(tls).transpose()?,
        credentials,
    })
}

#[expect(clippy::expect_used, reason = "a constant that a test reads")]
pub(super) fn lock_root_default() -> Key {
    Key::parse("/locks").expect("a valid key")
}

fn lock_root(text: &str) -> Result<Key> {
    Key::parse(text).map_err(|error| refusal(format!("lock_root: {error}")))
}

fn timeout(name: &str, given: Option<Duration>, default: Duration) -> Result<Duration> {
    let value = given.unwrap_or(default);
    in_range(name, value, TIMEOUT_MIN, TIMEOUT_MAX).map(|()| value)
}

fn in_range(name: &str, value: Duration, least: Duration, most: Duration) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let (value, least, most) = (format_duration(value), format_duration(least), format_duration(most));
    Err(refusal(format!("{name} = \"{value}\" is out of range: \"{least}\" to \"{most}\" are allowed")))
}

fn tls(raw: RawTls) -> Result<TlsFiles> {
    let Some(ca) = raw.ca else { return Err(refusal("tls needs ca: the file of the certificates that sign servers")) };
    let identity = match (raw.cert, raw.key) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some((cert, key)),
        (Some(_), None) => return Err(refusal("tls has cert without key: a client certificate needs both")),
        (None, Some(_)) => return Err(refusal("tls has key without cert: a client certificate needs both")),
    };
    Ok(TlsFiles { ca, identity })
}

fn credentials(raw: RawAuth) -> Result<Credentials> {
    let Some(scheme) = raw.scheme else { return Err(refusal("auth needs scheme: \"digest\" or \"sasl\"")) };
    let Some(user) = raw.user.filter(|user| !user.is_empty()) else { return Err(refusal("auth needs user")) };
    if scheme == Scheme::Digest && user.contains(':') {
        return Err(refusal("auth: the user of the digest scheme has no colon"));
    }
    let password = match (raw.password, raw.password_file) {
        (Some(password), None) => password,
        (None, Some(file)) => from_file(&file)?,
        (None, None) => return Err(refusal("auth needs password or password_file")),
        (Some(_), Some(_)) => return Err(refusal("auth has password and password_file; leave one of them out")),
    };
    Ok(Credentials { scheme, user, password: Secret::new(password) })
}

fn from_file(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| refusal(format!("auth: cannot read password_file {}: {error}", file.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
