//! What a master sees of the cluster at any moment: mirrors of who is there and what is in flight.

use std::collections::BTreeMap;

use registry_api::{Entry, Mirror, PresenceRecord, RegistryClient, Result, Scope, SessionId};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::name::Name;
use crate::state::presence::AnyReport;
use crate::state::{InstanceRecord, MasterReport, Status, WorkerReport, decode, keys};

/// Mirrors, and one signal for a change of any of them.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) masters: Mirror,
    pub(crate) workers: Mirror,
    pub(crate) instances: Mirror,
    pub(crate) assignments: Mirror,
    changed: watch::Receiver<()>,
    _signals: Vec<AbortOnDropHandle<()>>,
}

/// A worker that is there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LiveWorker {
    pub(crate) name: Name,
    pub(crate) session: SessionId,
    pub(crate) report: WorkerReport,
}

impl View {
    /// Opens all mirrors and waits until each shows its first snapshot.
    pub(crate) async fn open(client: &RegistryClient) -> Result<Self> {
        let masters = client.mirror(Scope::Children(keys::masters())).await?;
        let workers = client.mirror(Scope::Children(keys::workers())).await?;
        let instances = client.mirror(Scope::Children(keys::instances())).await?;
        let assignments = client.mirror(Scope::Tree(keys::assignments())).await?;
        let (signal, changed) = watch::channel(());
        let mut signals = Vec::new();
        for mirror in [&masters, &workers, &instances, &assignments] {
            mirror.wait_synced().await?;
            signals.push(AbortOnDropHandle::new(tokio::spawn(pass_on(mirror.clone(), signal.clone()))));
        }
        Ok(Self { masters, workers, instances, assignments, changed, _signals: signals })
    }

    /// Tells changes of any mirror; quick ones as one.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.clone()
    }

    /// The masters that plan, in order: those that are leaving do not count.
    pub(crate) fn live_masters(&self) -> Vec<Name> {
        let entries = self.masters.entries();
        let present = entries.values().filter(|entry| {
            let report: Option<AnyReport> = payload(entry);
            report.is_some_and(|report| report.status != Status::Leaving)
        });
        present.filter_map(name_of).collect()
    }

    /// The masters that may be assigning tasks now, in order: those that drive an instance, and `own`.
    pub(crate) fn busy_masters(&self, own: &Name) -> Vec<Name> {
        let entries = self.masters.entries();
        let busy = entries.values().filter(|entry| {
            let report: Option<MasterReport> = payload(entry);
            report.is_some_and(|report| !report.instances.is_empty())
        });
        let mut names: Vec<Name> = busy.filter_map(name_of).collect();
        if let Err(place) = names.binary_search(own) {
            names.insert(place, own.clone());
        }
        names
    }

    /// The workers that are there, in order of their names.
    pub(crate) fn live_workers(&self) -> Vec<LiveWorker> {
        self.workers.entries().values().filter_map(live_worker).collect()
    }

    /// The session in which a worker is there now.
    pub(crate) fn worker_session(&self, worker: &Name) -> Option<SessionId> {
        self.workers.get(&keys::presence(crate::state::Role::Worker, worker)).and_then(|entry| entry.owner)
    }

    /// The instances, with their records.
    pub(crate) fn instances(&self) -> BTreeMap<Name, InstanceRecord> {
        let entries = self.instances.entries();
        entries.values().filter_map(|entry| Some((name_of(entry)?, decode(entry).ok()?))).collect()
    }
}

async fn pass_on(mirror: Mirror, signal: watch::Sender<()>) {
    let mut changes = mirror.changes();
    while changes.next().await.is_some() {
        signal.send_replace(());
    }
}

/// The name that the last segment of an entry's key is.
pub(crate) fn name_of(entry: &Entry) -> Option<Name> {
    entry.key.name().parse().ok()
}

/// The payload of a presence's entry.
pub(crate) fn payload<T: serde::de::DeserializeOwned>(entry: &Entry) -> Option<T> {
    let record = PresenceRecord::decode(&entry.value)?;
    serde_json::from_slice(&record.payload).ok()
}

fn live_worker(entry: &Entry) -> Option<LiveWorker> {
    Some(LiveWorker { name: name_of(entry)?, session: entry.owner?, report: payload(entry)? })
}
