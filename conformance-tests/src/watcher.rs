//! A subscription under observation: every event is judged as it arrives, one check for each promise.

use std::collections::BTreeMap;

use registry_api::{
    Capability, Entry, Event, Key, Listing, PutOptions, RegistryClient, Revision, Scope, SessionId, SnapshotReason,
    SubscribeFrom, Subscription, Support,
};

use crate::Guarantee::{G12, G13, G14};
use crate::broken::{ensure, ensure_eq};
use crate::{Broken, Context, Outcome};

/// How many events a failure shows of those that came before.
const SHOWN: usize = 8;

/// Reads a subscription, keeps the map that its events describe, and refuses every event that breaks a promise:
/// snapshot first and after every gap (G12), revisions in order, no key twice at one revision, nothing outside of the
/// scope (G13), the previous entry as it was last told (G14).
#[derive(Debug)]
pub struct Watcher {
    subscription: Subscription,
    context: Context,
    previous_values: bool,
    entries: BTreeMap<Key, Entry>,
    /// Whether `entries` is complete: after a snapshot, not after resuming.
    complete: bool,
    position: Position,
    history: Vec<Event>,
}

/// How far the events have come.
#[derive(Debug)]
struct Position {
    revision: Revision,
    /// The keys told at that revision: another event of one of them would be a duplicate.
    keys: Vec<Key>,
    /// The revision that was reached as a whole: by a snapshot, by progress, or where the subscription resumed.
    settled: Revision,
}

impl Watcher {
    /// Subscribes to `scope` and takes the first event, which must be the snapshot.
    pub async fn open(context: &Context, client: &RegistryClient, scope: &Scope) -> Outcome<Self> {
        let subscription = client.subscribe(scope).await?;
        let mut watcher = Self::over(context, client, subscription, Revision::ZERO);
        match watcher.next().await? {
            Event::Snapshot { reason: SnapshotReason::Initial, .. } => Ok(watcher),
            other => Err(Broken::new(G12, format!("the first event is not the initial snapshot but {other:?}"))),
        }
    }

    /// Subscribes to what comes after `revision`.
    pub async fn resume(
        context: &Context,
        client: &RegistryClient,
        scope: &Scope,
        revision: Revision,
    ) -> Outcome<Self> {
        let subscription = client.subscribe_from(scope, SubscribeFrom::After(revision)).await?;
        Ok(Self::over(context, client, subscription, revision))
    }

    fn over(context: &Context, client: &RegistryClient, subscription: Subscription, from: Revision) -> Self {
        Self {
            subscription,
            context: context.clone(),
            previous_values: client.support(Capability::PreviousValue) == Support::Full,
            entries: BTreeMap::new(),
            complete: false,
            position: Position { revision: from, keys: Vec::new(), settled: from },
            history: Vec::new(),
        }
    }

    /// What the scope holds, by the events so far.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<Key, Entry> {
        &self.entries
    }

    /// The revision of the last event.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.position.revision
    }

    /// Every event so far, without progress.
    #[must_use]
    pub fn history(&self) -> &[Event] {
        &self.history
    }

    /// The next event that is not mere progress.
    pub async fn next(&mut self) -> Outcome<Event> {
        self.next_as("another event").await
    }

    async fn next_as(&mut self, what: &str) -> Outcome<Event> {
        loop {
            let patience = self.context.timing().patience;
            let event = match tokio::time::timeout(patience, self.subscription.next()).await {
                Ok(Some(event)) => event?,
                Ok(None) => return Err(self.broken(format!("the subscription ended while {what} was due"))),
                Err(_elapsed) => return Err(self.broken(format!("waited {patience:?} in vain for {what}"))),
            };
            self.judge(&event)?;
            if !matches!(event, Event::Progress { .. }) {
                self.history.push(event.clone());
                return Ok(event);
            }
        }
    }

    /// Reads on until an event is `wanted`, and returns it; `what` names it for the failure.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Outcome<Event> {
        loop {
            let event = self.next_as(what).await?;
            if wanted(&event) {
                return Ok(event);
            }
        }
    }

    /// Reads on until `key` is put, and returns its entry and the one before.
    pub async fn until_put(&mut self, key: &Key) -> Outcome<(Entry, Option<Entry>)> {
        let what = format!("the put of {key}");
        match self.until(&what, |event| matches!(event, Event::Put { entry, .. } if entry.key == *key)).await? {
            Event::Put { entry, previous } => Ok((entry, previous)),
            other => Err(Broken::new(G14, format!("{other:?} is no put"))),
        }
    }

    /// Reads on until `key` is deleted, and returns the entry it was last and the revision of its end.
    pub async fn until_deleted(&mut self, key: &Key) -> Outcome<(Entry, Revision)> {
        let what = format!("the delete of {key}");
        let wanted = |event: &Event| matches!(event, Event::Delete { previous, .. } if previous.key == *key);
        match self.until(&what, wanted).await? {
            Event::Delete { previous, revision } => Ok((previous, revision)),
            other => Err(Broken::new(G14, format!("{other:?} is no delete"))),
        }
    }

    /// Writes `sentinel`, which must be in the scope, and returns all events that came before it: what has not come by
    /// then does not come.
    pub async fn until_sentinel(&mut self, writer: &RegistryClient, sentinel: &Key) -> Outcome<Vec<Event>> {
        let start = self.history.len();
        let revision = writer.put(sentinel, "sentinel").await?;
        self.until_revision(revision).await?;
        let events = self.history.get(start..).unwrap_or_default();
        Ok(events.iter().filter(|event| event.key() != Some(sentinel)).cloned().collect())
    }

    /// As [`until_sentinel`](Self::until_sentinel) where the only key of the scope is an ephemeral one: its own session
    /// puts it again. A new snapshot tells nothing by itself and is left out.
    pub async fn until_sentinel_by(
        &mut self,
        writer: &RegistryClient,
        key: &Key,
        owner: SessionId,
    ) -> Outcome<Vec<Event>> {
        let start = self.history.len();
        let revision = writer.put_with(key, "sentinel", PutOptions::ephemeral(owner)).await?;
        self.until_revision(revision).await?;
        let events = self.history.get(start..).unwrap_or_default();
        let told = events.iter().filter(|event| event.key().is_some() && event.revision() != revision);
        Ok(told.cloned().collect())
    }

    /// Reads on until the events have reached `revision`.
    pub async fn until_revision(&mut self, revision: Revision) -> Outcome {
        while self.position.revision < revision {
            self.next_as(&format!("revision {revision}")).await?;
        }
        Ok(())
    }

    fn judge(&mut self, event: &Event) -> Outcome {
        match event {
            Event::Snapshot { listing, .. } => self.judge_snapshot(listing)?,
            Event::Put { entry, previous } => {
                self.judge_order(&entry.key, entry.modified)?;
                self.judge_previous(&entry.key, previous.as_ref(), Some(entry))?;
                self.entries.insert(entry.key.clone(), entry.clone());
            }
            Event::Delete { previous, revision } => {
                self.judge_order(&previous.key, *revision)?;
                self.judge_previous(&previous.key, Some(previous), None)?;
                self.entries.remove(&previous.key);
            }
            Event::Progress { revision } => {
                ensure!(G13, *revision >= self.position.revision, "{}", self.story("progress goes back", event));
                self.position = Position { revision: *revision, keys: Vec::new(), settled: *revision };
            }
            other => return Err(self.broken(format!("an event of an unknown kind: {other:?}"))),
        }
        Ok(())
    }

    fn judge_snapshot(&mut self, listing: &Listing) -> Outcome {
        let back = listing.revision < self.position.revision;
        ensure!(G13, !back, "a snapshot at {} after events up to {}", listing.revision, self.position.revision);
        ensure!(G12, listing.next.is_none(), "a snapshot is only a part of its scope");
        let entries: BTreeMap<_, _> = listing.entries().map(|entry| (entry.key.clone(), entry.clone())).collect();
        ensure_eq!(G13, entries.len(), listing.entries().count(), "distinct keys in a snapshot");
        for key in entries.keys() {
            ensure!(G13, self.subscription.scope().contains(key), "a snapshot holds {key}, outside of its scope");
        }
        self.entries = entries;
        self.complete = true;
        self.position = Position { revision: listing.revision, keys: Vec::new(), settled: listing.revision };
        Ok(())
    }

    /// G13, and that nothing comes before the snapshot (G12).
    fn judge_order(&mut self, key: &Key, revision: Revision) -> Outcome {
        let scope = self.subscription.scope();
        ensure!(G13, scope.contains(key), "an event of {key} was sent to the subscriber of {scope}");
        let before_snapshot = !self.complete && self.position.settled == Revision::ZERO;
        ensure!(G12, !before_snapshot, "an event of {key} came before the snapshot");
        let known = &self.position;
        ensure!(G13, revision > known.settled, "{key} at {revision}: told already by what reached {}", known.settled);
        ensure!(G13, revision >= known.revision, "{key} at {revision} came after an event at {}", known.revision);
        if revision > known.revision {
            self.position.revision = revision;
            self.position.keys.clear();
        }
        ensure!(G13, !self.position.keys.contains(key), "{key} at {revision} was told twice");
        self.position.keys.push(key.clone());
        Ok(())
    }

    /// G14: the previous entry is the one told last. One that is older or newer means that an event was lost (G12).
    fn judge_previous(&self, key: &Key, previous: Option<&Entry>, now: Option<&Entry>) -> Outcome {
        if !self.complete || !self.previous_values {
            return Ok(());
        }
        let known = self.entries.get(key);
        if known == previous {
            return Ok(());
        }
        let gap = match (known, previous) {
            (Some(known), Some(previous)) => known.modified != previous.modified,
            (None, Some(_)) => true,
            (Some(_), None) => now.is_some_and(|now| now.created == now.modified),
            (None, None) => false,
        };
        let text = format!("{key} was told last as {known:?}, and its next event says it was {previous:?}");
        Err(Broken::new(if gap { G12 } else { G14 }, text))
    }

    fn broken(&self, what: String) -> Broken {
        Broken::new(G12, format!("{what}; the last events were {:?}", self.recent()))
    }

    fn story(&self, what: &str, event: &Event) -> String {
        format!("{what}: {event:?} after {:?}", self.recent())
    }

    fn recent(&self) -> &[Event] {
        self.history.get(self.history.len().saturating_sub(SHOWN)..).unwrap_or_default()
    }
}
