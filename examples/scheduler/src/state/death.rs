//! The dead list: who left, how, and what was known of it last.

use std::fmt;

use registry_api::SessionId;
use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::state::Role;

/// One master or worker that is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeathRecord {
    /// What it was.
    pub role: Role,
    /// Who it was.
    pub name: Name,
    /// The session that ended.
    pub session: SessionId,
    /// When a master noticed, for people.
    pub noticed_at: u64,
    /// Which master noticed first.
    pub noticed_by: Name,
    /// How it went.
    pub reason: DeathReason,
    /// What the backend knows of the session's end.
    pub certificate: Option<Certificate>,
    /// Its last presence payload.
    pub last_report: serde_json::Value,
}

/// How a process went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeathReason {
    /// It said so before.
    #[serde(rename = "left cleanly")]
    Left,
    /// It fell silent, or was cut off.
    #[serde(rename = "session ended without farewell")]
    Vanished,
}

impl fmt::Display for DeathReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Left => "left cleanly",
            Self::Vanished => "session ended without farewell",
        })
    }
}

/// What the backend knows of the end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// How long the leader had heard nothing, in milliseconds.
    pub silent_ms: u64,
    /// The time to live of the session, in milliseconds.
    pub ttl_ms: u64,
    /// Leader changes during the session.
    pub leader_changes: u64,
    /// Pauses of the leader that gave the session a new full time to live.
    pub leader_stalls: u64,
}
