//! Reading the section: from text to typed settings.

use std::path::PathBuf;
use std::time::Duration;

use figment::Figment;
use registry_api::{Result, settings};
use serde::Deserialize;

use super::{
    CompactionSettings, Exposure, LISTEN_DEFAULT, MemberAddress, RaftSettings, Role, StorageKind, TimingProfile,
    refusal,
};
use crate::client::Target;

const SECTION: &str = "registry.raft";
const KNOWN: [&str; 17] = [
    "role",
    "node",
    "cluster",
    "data_dir",
    "storage",
    "listen",
    "advertise",
    "members",
    "insecure",
    "timing",
    "compact_after_bytes",
    "compact_after_entries",
    "compact_after_age",
    "connect_timeout",
    "request_timeout",
    "session_ttl",
    "label",
];

#[derive(Deserialize)]
struct Raw {
    role: Option<Role>,
    node: Option<u64>,
    cluster: Option<String>,
    data_dir: Option<PathBuf>,
    storage: Option<StorageKind>,
    listen: Option<String>,
    advertise: Option<String>,
    members: Option<RawMembers>,
    insecure: Option<bool>,
    timing: Option<TimingProfile>,
    compact_after_bytes: Option<u64>,
    compact_after_entries: Option<u64>,
    #[serde(default, deserialize_with = "settings::optional_duration")]
    compact_after_age: Option<Duration>,
    #[serde(default, deserialize_with = "settings::optional_duration")]
    connect_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "settings::optional_duration")]
    request_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "settings::optional_duration")]
    session_ttl: Option<Duration>,
    label: Option<String>,
}

/// A list, or one text with commas as an environment variable holds it.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawMembers {
    List(Vec<String>),
    Text(String),
}

pub(super) fn read(figment: &Figment) -> Result<RaftSettings> {
    let raw: Raw = settings::extract(figment, SECTION, &KNOWN)?;
    let defaults = RaftSettings::default();
    let compaction = CompactionSettings {
        bytes: raw.compact_after_bytes.unwrap_or(defaults.compaction.bytes),
        entries: raw.compact_after_entries.unwrap_or(defaults.compaction.entries),
        age: raw.compact_after_age.unwrap_or(defaults.compaction.age),
    };
    Ok(RaftSettings {
        role: raw.role.unwrap_or_default(),
        node: raw.node.unwrap_or(defaults.node),
        cluster: raw.cluster,
        data_dir: raw.data_dir,
        storage: raw.storage.unwrap_or_default(),
        listen: raw.listen.unwrap_or_else(|| LISTEN_DEFAULT.to_owned()),
        advertise: raw.advertise,
        members: members(raw.members)?,
        exposure: if raw.insecure == Some(true) { Exposure::Insecure } else { Exposure::Loopback },
        timing: raw.timing.unwrap_or_default(),
        compaction,
        connect_timeout: raw.connect_timeout.unwrap_or(defaults.connect_timeout),
        request_timeout: raw.request_timeout.unwrap_or(defaults.request_timeout),
        session_ttl: raw.session_ttl.unwrap_or(defaults.session_ttl),
        label: raw.label,
    })
}

fn members(raw: Option<RawMembers>) -> Result<Vec<MemberAddress>> {
    let texts = match raw {
        None => return Ok(Vec::new()),
        Some(RawMembers::List(list)) => list,
        Some(RawMembers::Text(text)) => {
            text.split(',').map(|member| member.trim().to_owned()).filter(|member| !member.is_empty()).collect()
        }
    };
    if texts.is_empty() {
        return Err(refusal("members is empty; leave it out for one member, or list all: [\"1@host-1:7001\", ..]"));
    }
    texts.iter().map(|text| member(text)).collect()
}

fn member(text: &str) -> Result<MemberAddress> {
    let Some(Target { id, address }) = Target::parse(text) else {
        return Err(refusal(format!(
            "members: {text:?} is not a member; write \"id@host:port\" with an id of 1 or more, such as \
             \"1@127.0.0.1:7001\""
        )));
    };
    Ok(MemberAddress { id, address })
}
