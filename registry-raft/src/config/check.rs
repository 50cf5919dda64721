//! Checks of the settings: each by itself, and how they stand to each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use humantime::format_duration;
use registry_api::Result;

use super::{Exposure, MemberAddress, RaftSettings, Role, TimingProfile, refusal};
use crate::convert::check_label;

const TIMEOUT_MIN: Duration = Duration::from_millis(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
const NAME_LEN_MAX: usize = 255;
const MEMBERS_MAX: usize = 9;

pub(super) fn check(settings: &RaftSettings) -> Result<()> {
    in_range("request_timeout", settings.request_timeout)?;
    in_range("connect_timeout", settings.connect_timeout)?;
    if let Some(cluster) = &settings.cluster
        && (cluster.is_empty() || cluster.len() > NAME_LEN_MAX)
    {
        return Err(refusal(format!("cluster = {cluster:?}: a name of 1 to {NAME_LEN_MAX} bytes is needed")));
    }
    if let Some(label) = &settings.label {
        check_label(label).map_err(|error| refusal(format!("label: {error}")))?;
    }
    check_members(&settings.members)?;
    match settings.role {
        Role::Client => Ok(()),
        Role::Member => check_member(settings),
    }
}

fn check_members(members: &[MemberAddress]) -> Result<()> {
    let mut ids = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for member in members {
        if member.id == 0 {
            return Err(refusal(format!("members: \"{member}\" has the id 0; ids begin with 1")));
        }
        check_address("members", &member.address)?;
        if let Some(other) = ids.insert(member.id, member) {
            return Err(refusal(format!(
                "members: \"{other}\" and \"{member}\" have the same id; each member has its own"
            )));
        }
        if let Some(other) = addresses.insert(&member.address, member) {
            return Err(refusal(format!(
                "members: \"{other}\" and \"{member}\" have the same address; each member has its own"
            )));
        }
    }
    if members.len() > MEMBERS_MAX {
        return Err(refusal(format!(
            "members: {} are listed; a group has at most {MEMBERS_MAX}, of which 3 or 5 are usual",
            members.len()
        )));
    }
    Ok(())
}

fn check_member(settings: &RaftSettings) -> Result<()> {
    if settings.node == 0 {
        return Err(refusal("node = 0 is not allowed; ids begin with 1"));
    }
    check_address("listen", &settings.listen)?;
    check_exposure(settings)?;
    check_place(settings)?;
    check_compaction(settings)?;
    check_session_ttl(settings)
}

/// Nothing is encrypted and nobody is asked who he is, so that beyond loopback it must be wanted.
fn check_exposure(settings: &RaftSettings) -> Result<()> {
    let listen = &settings.listen;
    if settings.exposure == Exposure::Insecure || is_loopback(listen) {
        return Ok(());
    }
    Err(refusal(format!(
        "listen = {listen:?} reaches beyond this machine, and connections are not encrypted yet: set insecure = true to \
         accept that, or listen on 127.0.0.1"
    )))
}

/// This member must be among the members, where it says that it is.
fn check_place(settings: &RaftSettings) -> Result<()> {
    let RaftSettings { node, advertise, members, listen, .. } = settings;
    if let Some(advertise) = advertise {
        check_address("advertise", advertise)?;
    }
    if !members.is_empty() {
        let Some(own) = members.iter().find(|member| member.id == *node) else {
            return Err(refusal(format!("node = {node} is not among members = [{}]", listed(members))));
        };
        if let Some(advertise) = advertise.as_ref().filter(|advertise| **advertise != own.address) {
            return Err(refusal(format!(
                "advertise = {advertise:?} contradicts members, where this member is \"{own}\"; make them equal, or leave \
                 advertise out"
            )));
        }
    }
    let advertised = settings.advertised();
    let alone = members.len() <= 1;
    if let Ok(address) = advertised.parse::<SocketAddr>() {
        if address.ip().is_unspecified() {
            return Err(refusal(format!(
                "others cannot dial {advertised:?}: set advertise to an address or name of this machine (listen = \
                 {listen:?} is where it serves)"
            )));
        }
        if address.port() == 0 && !alone {
            return Err(refusal(format!("members: {advertised:?} has no port that others could dial")));
        }
    }
    Ok(())
}

fn check_compaction(settings: &RaftSettings) -> Result<()> {
    const BYTES_MIN: u64 = 1 << 20;
    const ENTRIES_MIN: u64 = 100;
    const AGE_MIN: Duration = Duration::from_secs(1);
    let compaction = &settings.compaction;
    if compaction.bytes < BYTES_MIN {
        return Err(refusal(format!("compact_after_bytes = {} is too little: {BYTES_MIN} or more", compaction.bytes)));
    }
    if compaction.entries < ENTRIES_MIN {
        let entries = compaction.entries;
        return Err(refusal(format!("compact_after_entries = {entries} is too few: {ENTRIES_MIN} or more")));
    }
    if compaction.age < AGE_MIN {
        return Err(refusal(format!(
            "compact_after_age = \"{}\" is too short: \"{}\" or more",
            format_duration(compaction.age),
            format_duration(AGE_MIN)
        )));
    }
    Ok(())
}

/// A session must outlive the silent death of a leader: the lease of the old one, and the wait of the next.
fn check_session_ttl(settings: &RaftSettings) -> Result<()> {
    let least = takeover(settings.timing);
    if settings.session_ttl >= least {
        return Ok(());
    }
    Err(refusal(format!(
        "session_ttl = \"{}\" is too short for timing = {:?}: replacing a silent leader takes up to \"{}\", and sessions \
         must outlive it",
        format_duration(settings.session_ttl),
        settings.timing.as_str(),
        format_duration(least)
    )))
}

/// How long a group may be without a leader when one falls silent: twice the longest election timeout.
fn takeover(timing: TimingProfile) -> Duration {
    match timing {
        TimingProfile::Lan => Duration::from_secs(2),
        TimingProfile::Wan => Duration::from_secs(10),
        TimingProfile::Test => Duration::ZERO,
    }
}

fn check_address(key: &str, address: &str) -> Result<()> {
    let port = address.rsplit_once(':').filter(|(host, _port)| !host.is_empty()).map(|(_host, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_ok()) && !address.contains(char::is_whitespace) {
        return Ok(());
    }
    Err(refusal(format!("{key}: {address:?} is not an address; write \"host:port\", such as \"127.0.0.1:7001\"")))
}

fn is_loopback(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        Err(_name) => address.rsplit_once(':').is_some_and(|(host, _port)| host == "localhost"),
    }
}

fn in_range(key: &str, value: Duration) -> Result<()> {
    if (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&value) {
        return Ok(());
    }
    Err(refusal(format!(
        "{key} = \"{}\" is out of range: \"{}\" to \"{}\" are allowed",
        format_duration(value),
        format_duration(TIMEOUT_MIN),
        format_duration(TIMEOUT_MAX)
    )))
}

fn listed(members: &[MemberAddress]) -> String {
    members.iter().map(|member| format!("\"{member}\"")).collect::<Vec<_>>().join(", ")
}
