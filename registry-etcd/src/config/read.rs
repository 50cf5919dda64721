//! Reading of the section: raw values, then what they mean together.

use std::path::PathBuf;
use std::time::Duration;

use figment::Figment;
use humantime::format_duration;
use registry_api::{Key, Result, SESSION_TTL_DEFAULT, settings};
use serde::Deserialize;

use super::{CONNECT_TIMEOUT_DEFAULT, EtcdSettings, LOCK_ROOT_DEFAULT, REQUEST_TIMEOUT_DEFAULT, Tls, User, refusal};

const SECTION: &str = "registry.etcd";
const KNOWN: [&str; 12] = [
    "endpoints",
    "connect_timeout",
    "request_timeout",
    "session_ttl",
    "lock_root",
    "user",
    "password",
    "password_file",
    "tls.ca",
    "tls.cert",
    "tls.key",
    "tls.domain",
];
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
struct Raw {
    endpoints: Vec<String>,
    #[serde(default, deserialize_with = "settings::optional_duration")]
    connect_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "settings::optional_duration")]
    request_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "settings::optional_duration")]
    session_ttl: Option<Duration>,
    lock_root: Option<String>,
    user: Option<String>,
    password: Option<String>,
    password_file: Option<PathBuf>,
    tls: Option<Tls>,
}

pub(super) fn read(figment: &Figment) -> Result<EtcdSettings> {
    let raw: Raw = settings::extract(figment, SECTION, &KNOWN)?;
    let user = user(&raw)?;
    let root = raw.lock_root.as_deref().unwrap_or(LOCK_ROOT_DEFAULT);
    let settings = EtcdSettings {
        endpoints: raw.endpoints,
        connect_timeout: timeout("connect_timeout", raw.connect_timeout, CONNECT_TIMEOUT_DEFAULT)?,
        request_timeout: timeout("request_timeout", raw.request_timeout, REQUEST_TIMEOUT_DEFAULT)?,
        session_ttl: raw.session_ttl.unwrap_or(SESSION_TTL_DEFAULT),
        lock_root: Key::parse(root).map_err(|error| refusal(format!("lock_root in [{SECTION}]: {error}")))?,
        user,
        tls: raw.tls,
    };
    settings.check()?;
    Ok(settings)
}

fn timeout(name: &str, value: Option<Duration>, default: Duration) -> Result<Duration> {
    let value = value.unwrap_or(default);
    if (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&value) {
        return Ok(value);
    }
    let (value, least, most) = (format_duration(value), format_duration(TIMEOUT_MIN), format_duration(TIMEOUT_MAX));
    Err(refusal(format!("{name} = \"{value}\" in [{SECTION}] is out of range: \"{least}\" to \"{most}\" are allowed")))
}

fn user(raw: &Raw) -> Result<Option<User>> {
    let Some(name) = raw.user.clone() else {
        return match raw.password.is_some() || raw.password_file.is_some() {
            true => Err(refusal(format!("a password is set in [{SECTION}] without the user that it belongs to"))),
            false => Ok(None),
        };
    };
    let password = match (&raw.password, &raw.password_file) {
        (Some(password), None) => password.clone(),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| refusal(format!("password_file {}: {error}", path.display())))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        (Some(_), Some(_)) => {
            return Err(refusal(format!("password and password_file in [{SECTION}] exclude each other; keep one")));
        }
        (None, None) => {
            return Err(refusal(format!("user in [{SECTION}] needs password or password_file")));
        }
    };
    Ok(Some(User { name, password }))
}
