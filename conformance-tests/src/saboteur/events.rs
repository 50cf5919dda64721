//! Saboteurs of subscriptions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use registry_api::{Entry, Event, Registry, Result, Revision, Scope, SnapshotReason, SubscribeFrom, Subscription};
use tokio::sync::oneshot;

use super::Saboteur;

/// What becomes of each event of one subscription.
type Spoil = Box<dyn FnMut(Event) -> Vec<Event> + Send>;

/// Spoils the events of every subscription in one way.
pub(super) struct Events(pub(super) fn() -> Spoil);

impl fmt::Debug for Events {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Events")
    }
}

#[async_trait]
impl Saboteur for Events {
    async fn subscribe(&self, inner: &Arc<dyn Registry>, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        Ok(spoiled(inner.subscribe(scope, from).await?, scope, (self.0)()))
    }
}

fn spoiled(events: Subscription, scope: &Scope, mut spoil: Spoil) -> Subscription {
    let events = events.flat_map(move |event| {
        stream::iter(match event {
            Ok(event) => spoil(event).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    });
    Subscription::new(scope.clone(), events)
}

fn each(spoil: impl Fn(Event) -> Vec<Event> + Send + 'static) -> Spoil {
    Box::new(spoil)
}

fn is_change(event: &Event) -> bool {
    matches!(event, Event::Put { .. } | Event::Delete { .. })
}

/// Every third change is not told.
pub(super) fn loses_changes() -> Spoil {
    let mut changes = 0;
    Box::new(move |event| {
        changes += usize::from(is_change(&event));
        if is_change(&event) && changes % 3 == 0 { Vec::new() } else { vec![event] }
    })
}

/// Every change is told twice.
pub(super) fn repeats_changes() -> Spoil {
    each(|event| if is_change(&event) { vec![event.clone(), event] } else { vec![event] })
}

/// Of two changes the second is told first.
pub(super) fn swaps_changes() -> Spoil {
    let mut held: Option<Event> = None;
    Box::new(move |event| match (is_change(&event), held.take()) {
        (true, None) => {
            held = Some(event);
            Vec::new()
        }
        (true, Some(first)) => vec![event, first],
        (false, kept) => {
            held = kept;
            vec![event]
        }
    })
}

/// No subscription begins with a snapshot.
pub(super) fn omits_snapshots() -> Spoil {
    each(|event| if matches!(event, Event::Snapshot { .. }) { Vec::new() } else { vec![event] })
}

/// The snapshot lacks the last of several keys.
pub(super) fn cuts_snapshots() -> Spoil {
    each(|event| match event {
        Event::Snapshot { mut listing, reason } => {
            if listing.children.len() > 1 {
                listing.children.pop();
            }
            vec![Event::Snapshot { listing, reason }]
        }
        other => vec![other],
    })
}

/// A put does not tell what was before.
pub(super) fn forgets_previous_entries() -> Spoil {
    each(|event| match event {
        Event::Put { entry, .. } => vec![Event::Put { entry, previous: None }],
        other => vec![other],
    })
}

/// A delete does not tell the last value.
pub(super) fn empties_deleted_values() -> Spoil {
    each(|event| match event {
        Event::Delete { previous, revision } => {
            vec![Event::Delete { previous: Entry { value: Default::default(), ..previous }, revision }]
        }
        other => vec![other],
    })
}

/// A put of a key that exists is told as its death and its birth.
pub(super) fn tells_updates_as_delete_and_put() -> Spoil {
    each(|event| match event {
        Event::Put { entry, previous: Some(previous) } => {
            vec![Event::Delete { previous, revision: entry.modified }, Event::Put { entry, previous: None }]
        }
        other => vec![other],
    })
}

/// A change of the owner is told as the death of the key and its birth.
pub(super) fn tells_take_overs_as_delete_and_put() -> Spoil {
    each(|event| match event {
        Event::Put { entry, previous: Some(previous) } if entry.owner != previous.owner => {
            vec![Event::Delete { previous, revision: entry.modified }, Event::Put { entry, previous: None }]
        }
        other => vec![other],
    })
}

/// The end of an ephemeral key is not told.
pub(super) fn conceals_ends_of_sessions() -> Spoil {
    each(|event| match event {
        Event::Delete { previous, .. } if previous.owner.is_some() => Vec::new(),
        other => vec![other],
    })
}

/// Says that a revision is reached before its changes are told.
pub(super) fn runs_ahead_with_progress() -> Spoil {
    each(|event| {
        let progress = Event::Progress { revision: event.revision() };
        if is_change(&event) { vec![progress, event] } else { vec![event] }
    })
}

/// Tells nothing any more once the history did not reach back far enough.
pub(super) fn goes_silent_after_compaction() -> Spoil {
    let mut silent = false;
    Box::new(move |event| {
        silent |= matches!(event, Event::Snapshot { reason: SnapshotReason::Compacted, .. });
        if silent { Vec::new() } else { vec![event] }
    })
}

/// `events` until `end`; then it is there, and tells nothing.
fn silent_from(events: Subscription, end: impl Future<Output = ()> + Send + 'static) -> Subscription {
    let scope = events.scope().clone();
    Subscription::new(scope, events.take_until(Box::pin(end)).chain(stream::pending()))
}

/// Tells nothing any more once the connection was interrupted, as a watch that nobody arms again.
#[derive(Debug)]
pub(super) struct GoesSilentAfterAnInterruption;

#[async_trait]
impl Saboteur for GoesSilentAfterAnInterruption {
    async fn subscribe(&self, inner: &Arc<dyn Registry>, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        let mut connection = inner.connection();
        let interrupted = async move {
            connection.changed().await;
        };
        Ok(silent_from(inner.subscribe(scope, from).await?, interrupted))
    }
}

/// Serves one subscriber of a scope: the newest, as a table of watches by path does.
#[derive(Debug, Default)]
pub(super) struct ServesTheNewest(Mutex<BTreeMap<String, oneshot::Sender<()>>>);

#[async_trait]
impl Saboteur for ServesTheNewest {
    async fn subscribe(&self, inner: &Arc<dyn Registry>, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        let (newest, replaced) = oneshot::channel();
        // The one before is dropped here: its end is the sign that it was replaced.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{scope:?}"), newest);
        let replaced = async move {
            let _dropped = replaced.await;
        };
        Ok(silent_from(inner.subscribe(scope, from).await?, replaced))
    }
}

/// Takes what begins with the same text for what is below a key.
#[derive(Debug)]
pub(super) struct LeaksSiblings;

#[async_trait]
impl Saboteur for LeaksSiblings {
    async fn subscribe(&self, inner: &Arc<dyn Registry>, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        let Scope::Tree(root) = scope else { return inner.subscribe(scope, from).await };
        let (parent, root) = (root.parent().map_or(Scope::All, Scope::Tree), root.clone());
        let spoil = each(move |event| match event {
            Event::Snapshot { mut listing, reason } => {
                listing.children.retain(|child| child.key.as_str().starts_with(root.as_str()));
                vec![Event::Snapshot { listing, reason }]
            }
            other if other.key().is_some_and(|key| !key.as_str().starts_with(root.as_str())) => Vec::new(),
            other => vec![other],
        });
        Ok(spoiled(inner.subscribe(&parent, from).await?, scope, spoil))
    }
}

/// Tells the subscriber of direct children of deeper keys too.
#[derive(Debug)]
pub(super) struct TellsGrandchildren;

#[async_trait]
impl Saboteur for TellsGrandchildren {
    async fn subscribe(&self, inner: &Arc<dyn Registry>, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        let Scope::Children(parent) = scope else { return inner.subscribe(scope, from).await };
        let root = parent.clone();
        let spoil = each(move |event| if event.key() == Some(&root) { Vec::new() } else { vec![event] });
        Ok(spoiled(inner.subscribe(&Scope::Tree(parent.clone()), from).await?, scope, spoil))
    }
}

/// Resumes so many changes after the one that was asked for, or before.
#[derive(Debug)]
pub(super) enum ResumesElsewhere {
    TooLate,
    TooEarly,
}

#[async_trait]
impl Saboteur for ResumesElsewhere {
    async fn subscribe(&self, inner: &Arc<dyn Registry>, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        let SubscribeFrom::After(asked) = from else { return inner.subscribe(scope, from).await };
        match self {
            Self::TooLate => {
                let mut skipped = 0;
                let spoil: Spoil = Box::new(move |event| {
                    skipped += usize::from(is_change(&event));
                    if skipped == 1 && is_change(&event) { Vec::new() } else { vec![event] }
                });
                Ok(spoiled(inner.subscribe(scope, from).await?, scope, spoil))
            }
            Self::TooEarly => {
                let before = Revision::new(asked.incarnation, asked.counter.saturating_sub(1));
                inner.subscribe(scope, SubscribeFrom::After(before)).await
            }
        }
    }
}
