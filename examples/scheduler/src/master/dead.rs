//! The dead list: notices masters and workers that vanish, and writes down who, when, and how.

use std::collections::BTreeMap;
use std::time::Duration;

use registry_api::{Entry, ErrorKind, Key, Mirror, SessionId};
use tokio::time::Instant;

use super::retention;
use super::view::{name_of, payload};
use crate::clock::wall_ms;
use crate::cluster::Connected;
use crate::state::{DeathReason, DeathRecord, Role, encode, keys};

/// How long a master tries to write one death down; the other masters try as well.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Watches one role for as long as the registry is open.
pub(crate) async fn watch(connected: Connected, role: Role, mirror: Mirror) {
    let mut changes = mirror.changes();
    let mut known = owners(&mirror);
    while changes.next().await.is_some() {
        let now = owners(&mirror);
        // Compared by the owning session: who came back in a new session has died in between.
        let dead = known.iter().filter(|(key, (session, _))| now.get(*key).map(|(owner, _)| owner) != Some(session));
        for (_, (session, entry)) in dead {
            write_down(&connected, role, *session, entry).await;
        }
        known = now;
    }
}

fn owners(mirror: &Mirror) -> BTreeMap<Key, (SessionId, Entry)> {
    let entries = mirror.entries();
    entries.iter().filter_map(|(key, entry)| Some((key.clone(), (entry.owner?, entry.clone())))).collect()
}

/// Writes a death down, unless another master has, or the dead itself did in its farewell.
async fn write_down(connected: &Connected, role: Role, session: SessionId, entry: &Entry) {
    let Some(name) = name_of(entry) else { return };
    let key = keys::death(role, &name, session);
    let record = DeathRecord {
        role,
        name,
        session,
        noticed_at: wall_ms(),
        noticed_by: connected.name.clone(),
        reason: DeathReason::Vanished,
        certificate: connected.insight.certificate(session).await,
        last_report: payload(entry).unwrap_or_default(),
    };
    let deadline = Instant::now() + WRITE_TIMEOUT;
    while Instant::now() < deadline {
        match connected.client.create(&key, encode(&record)).await {
            Ok(_) => return tell(connected, &record).await,
            Err(error) if *error.kind() == ErrorKind::PreconditionFailed => return,
            Err(error) => tracing::debug!(%error, "a death cannot be written down, trying again"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn tell(connected: &Connected, record: &DeathRecord) {
    let DeathRecord { role, name, session, reason, .. } = record;
    tracing::info!(event = "death_noticed", %role, %name, %session, %reason, "a process is gone");
    if let Err(error) = retention::forget_deaths(&connected.client).await {
        tracing::debug!(%error, "the dead list was not shortened");
    }
}
