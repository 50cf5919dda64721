//! What subscribers are told of a history.

use registry_api::{Capability, Scope, Support};

use super::{Load, keys, perform};
use crate::Guarantee::G12;
use crate::broken::ensure_eq;
use crate::cases::subscribe::held;
use crate::history::{Answer, watch};
use crate::{Context, Outcome, Watcher};

pub(super) async fn subscribers_are_told_every_acknowledged_change(context: Context) -> Outcome {
    let load = Load { clients: 5, operations: 80, keys: 6 };
    let reader = context.client().await?;
    let scope = Scope::Tree(context.key("h")?);
    let mut watcher = Watcher::open(&context, &reader, &scope).await?;
    let operations = perform(&context, load).await?;
    let end = reader.put(&context.key("h/end")?, "").await?;
    watcher.until_revision(end).await?;
    let names = keys(&context, load)?;
    let acknowledged: Vec<_> = operations
        .iter()
        .filter_map(|operation| match operation.answer {
            Answer::Changed(revision) => Some((names.get(operation.key)?.clone(), revision)),
            _ => None,
        })
        .collect();
    let events = watcher.history();
    watch::ordered(events)?;
    watch::unique(events)?;
    watch::filtered(events, &scope)?;
    if reader.support(Capability::EveryVersion) == Support::Full {
        watch::complete(events, &scope, &acknowledged)?;
    } else {
        let left = held(&reader, &scope).await?;
        ensure_eq!(G12, *watcher.entries(), left, "the map of the subscriber in the end");
        watch::caught_up(events, &scope, &acknowledged, |key| !left.contains_key(key))?;
    }
    let Some(middle) = events.get(events.len() / 2).map(registry_api::Event::revision) else { return Ok(()) };
    let mut resumed = Watcher::resume(&context, &reader, &scope, middle).await?;
    resumed.until_revision(end).await?;
    let snapshot = resumed.history().iter().any(|event| matches!(event, registry_api::Event::Snapshot { .. }));
    if snapshot { Ok(()) } else { watch::resumable(events, resumed.history(), middle) }
}
