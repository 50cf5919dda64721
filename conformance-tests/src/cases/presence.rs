//! Presence: a registration that refreshes, comes back after a loss, and is never taken for another.

use bytes::Bytes;
use registry_api::{
    ErrorKind, Event, Key, Presence, PresenceOptions, PresenceRecord, PresenceState, RegistryClient, Scope,
    SessionOptions,
};

use super::keys::{absent, present};
use crate::Guarantee::{G4, G5, G14, G17};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::refused_as_one_of;
use crate::{Broken, Case, Context, Outcome, Watcher};

pub(super) fn cases() -> Vec<Case> {
    cases!["presence";
        it_is_seen_with_its_payload => [G14];
        reports_are_updates_and_never_deletes => [G17, G14];
        a_refresh_is_an_update_of_the_same_registration => [G17];
        withdrawing_ends_it_at_once => [G4];
        two_announcements_are_told_apart => [G5];
        a_living_registration_is_left_alone => [G5];
        after_a_short_outage_nothing_happened => [G17];
        after_a_loss_it_registers_exactly_once_more => [G17, G4];
        a_killed_process_vanishes => [G4];
    ]
}

fn options(context: &Context, key: &Key) -> PresenceOptions {
    PresenceOptions {
        session: SessionOptions::with_ttl(context.timing().session_ttl),
        ..PresenceOptions::at(key.clone())
    }
}

async fn announce(context: &Context, client: &RegistryClient, key: &Key, payload: &'static str) -> Outcome<Presence> {
    Ok(Presence::announce(client, options(context, key), payload).await?)
}

/// The record under the key.
async fn record(client: &RegistryClient, key: &Key) -> Outcome<PresenceRecord> {
    decoded(&present(client, key, G14).await?.value)
}

fn decoded(value: &[u8]) -> Outcome<PresenceRecord> {
    PresenceRecord::decode(value).ok_or_else(|| Broken::new(G14, "the value of a presence is no record"))
}

async fn it_is_seen_with_its_payload(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let key = context.key("workers/1")?;
    let presence = announce(&context, &client, &key, "load 0.1").await?;
    let seen = record(&other, &key).await?;
    ensure_eq!(G14, (seen.incarnation, &*seen.payload), (presence.incarnation(), &b"load 0.1"[..]), "the record");
    let owner = present(&other, &key, G14).await?.owner;
    ensure_eq!(G14, owner, Some(presence.session().id()), "the owner of the registration");
    Ok(presence.withdraw().await?)
}

async fn reports_are_updates_and_never_deletes(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let key = context.key("workers/1")?;
    let presence = announce(&context, &client, &key, "0").await?;
    let mut watcher = Watcher::open(&context, &other, &Scope::Key(key.clone())).await?;
    for number in 1..10 {
        let payload = Bytes::from(number.to_string());
        presence.report(payload.clone())?;
        let wanted = |event: &Event| match event {
            Event::Put { entry, .. } => {
                PresenceRecord::decode(&entry.value).is_some_and(|seen| seen.payload == payload)
            }
            _ => false,
        };
        watcher.until("the reported payload", wanted).await?;
    }
    let deletes = watcher.history().iter().filter(|event| matches!(event, Event::Delete { .. })).count();
    ensure_eq!(G17, deletes, 0, "how many deletes reports made");
    Ok(presence.withdraw().await?)
}

async fn a_refresh_is_an_update_of_the_same_registration(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let key = context.key("workers/1")?;
    let refresh_interval = Some(registry_api::REFRESH_INTERVAL_MIN);
    let options = PresenceOptions { refresh_interval, ..options(&context, &key) };
    let presence = Presence::announce(&client, options, "same").await?;
    let created = present(&other, &key, G17).await?.created;
    let mut watcher = Watcher::open(&context, &other, &Scope::Key(key.clone())).await?;
    for _ in 0..3 {
        let (entry, previous) = watcher.until_put(&key).await?;
        let seen = decoded(&entry.value)?;
        ensure_eq!(G17, seen.incarnation, presence.incarnation(), "the incarnation after a refresh");
        ensure!(G17, entry.created == created && previous.is_some(), "a refresh created the key again: {entry:?}");
    }
    Ok(presence.withdraw().await?)
}

async fn withdrawing_ends_it_at_once(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let key = context.key("workers/1")?;
    let presence = announce(&context, &client, &key, "").await?;
    presence.withdraw().await?;
    absent(&other, &key, G4).await
}

async fn two_announcements_are_told_apart(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("workers/1")?;
    let first = announce(&context, &client, &key, "same").await?;
    let before = first.incarnation();
    first.withdraw().await?;
    let second = announce(&context, &client, &key, "same").await?;
    ensure!(G5, second.incarnation() != before, "two announcements have one incarnation");
    ensure_eq!(G5, record(&client, &key).await?.incarnation, second.incarnation(), "the incarnation that others see");
    Ok(second.withdraw().await?)
}

async fn a_living_registration_is_left_alone(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let key = context.key("workers/1")?;
    let first = announce(&context, &client, &key, "same").await?;
    let owner = first.session().id();
    let second =
        Presence::announce(&other, options(&context, &key), "same").await.map(|presence| presence.incarnation());
    refused_as_one_of(G5, "a second announcement", second, &[ErrorKind::OwnedByAnother { owner }])?;
    ensure_eq!(G5, record(&client, &key).await?.incarnation, first.incarnation(), "the incarnation that others see");
    Ok(first.withdraw().await?)
}

async fn after_a_short_outage_nothing_happened(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    let key = context.key("workers/1")?;
    let ttl = context.timing().session_ttl * 4;
    let options = PresenceOptions { session: SessionOptions::with_ttl(ttl), ..PresenceOptions::at(key.clone()) };
    let presence = Presence::announce(&client, options, "before").await?;
    let session = presence.session().id();
    let mut watcher = Watcher::open(&context, &other, &Scope::Key(key.clone())).await?;
    cable.cut();
    presence.report("during")?;
    cable.mend();
    let (entry, previous) = watcher.until_put(&key).await?;
    let story = format!("the payload reported during the outage; {entry:?} after {previous:?}, session {session}");
    ensure_eq!(G17, decoded(&entry.value)?.payload, Bytes::from("during"), "{story}");
    let owners = (entry.owner, previous.and_then(|previous| previous.owner));
    ensure_eq!(G17, owners, (Some(session), Some(session)), "the owners before and after");
    Ok(presence.withdraw().await?)
}

async fn after_a_loss_it_registers_exactly_once_more(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    let key = context.key("workers/1")?;
    let presence = announce(&context, &client, &key, "payload").await?;
    let (old, incarnation) = (presence.session().id(), presence.incarnation());
    let mut states = presence.states();
    let mut watcher = Watcher::open(&context, &other, &Scope::Tree(context.key("workers")?)).await?;
    cable.cut();
    watcher.until_deleted(&key).await?;
    cable.mend();
    let (entry, previous) = watcher.until_put(&key).await?;
    ensure_eq!(G17, previous, None, "what the key was before the new registration");
    let again = decoded(&entry.value)?;
    ensure_eq!(G17, (again.incarnation, &*again.payload), (incarnation, &b"payload"[..]), "the new registration");
    ensure!(G4, entry.owner != Some(old), "the new registration belongs to the session that was lost");
    loop {
        match context.soon("the new registration", states.next()).await? {
            Some(PresenceState::Registered { session, .. }) if session != old => break,
            Some(_) => {}
            None => return Err(Broken::new(G17, "the states of a presence ended")),
        }
    }
    let events = watcher.until_sentinel(&other, &context.key("workers/sentinel")?).await?;
    ensure_eq!(G17, events, [], "what followed the new registration");
    Ok(presence.withdraw().await?)
}

async fn a_killed_process_vanishes(context: Context) -> Outcome {
    let ((client, cable), other) = (context.cabled_client().await?, context.client().await?);
    let key = context.key("workers/1")?;
    let presence = announce(&context, &client, &key, "").await?;
    let mut watcher = Watcher::open(&context, &other, &Scope::Key(key.clone())).await?;
    cable.cut();
    let (last, _) = watcher.until_deleted(&key).await?;
    ensure_eq!(G4, decoded(&last.value)?.incarnation, presence.incarnation(), "whose registration ended");
    Ok(())
}
