//! When ephemeral keys end: neither early nor late, and seen by everybody.

use std::time::Duration;

use bytes::Bytes;
use registry_api::{Key, PutOptions, RegistryClient, Scope, SessionId, SessionOptions};
use tokio::time::Instant;

use super::keys::{absent, present};
use crate::Guarantee::{G4, G14};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::{Case, Context, Outcome, Watcher};

pub(super) fn cases() -> Vec<Case> {
    cases!["expiry";
        a_clean_close_ends_keys_before_it_returns => [G4];
        a_clean_close_is_told_within_one_heartbeat => [G4];
        a_silent_session_ends_inside_its_bound => [G4];
        the_end_is_seen_by_every_client => [G4];
        a_heartbeat_starts_the_ttl_again => [G4];
        a_killed_client_loses_its_keys_inside_the_bound => [G4];
        a_slow_but_living_owner_keeps_its_keys => [G4];
        a_session_handle_outlives_its_ttl => [G4];
        the_end_of_the_last_key_of_a_scope_is_told_with_its_value => [G14, G4];
    ]
}

async fn put(client: &RegistryClient, key: &Key, session: SessionId) -> Outcome {
    client.put_with(key, "value", PutOptions::ephemeral(session)).await?;
    Ok(())
}

impl Context {
    /// Waits until one ttl has passed on the backend: a session with this ttl, opened now and never kept alive, is seen
    /// to end. `stream` tells apart the marks that one case uses.
    pub(crate) async fn one_ttl_passes(&self, client: &RegistryClient, ttl: Duration, mark: &str) -> Outcome {
        let key = self.key(&format!("ttl/{mark}"))?;
        let mut watcher = Watcher::open(self, client, &Scope::Key(key.clone())).await?;
        let session = client.registry().open_session(SessionOptions::with_ttl(ttl)).await?.id;
        put(client, &key, session).await?;
        watcher.until_deleted(&key).await?;
        Ok(())
    }

    /// Fails when a session whose last heartbeat was sent at `sent`, and taken at `taken` at the latest, ended at
    /// `ended` outside of `[ttl, ttl + bound]`.
    pub(crate) fn judge_end(&self, ttl: Duration, sent: Instant, taken: Instant, ended: Instant) -> Outcome {
        let (shortest, longest) = (ended - taken, ended - sent);
        ensure!(
            G4,
            longest >= ttl,
            "the session ended {longest:?} after its last heartbeat was sent; its ttl is {ttl:?}"
        );
        let (bound, slack) = (self.timing().late_bound, self.slack_since(sent));
        ensure!(
            G4,
            shortest <= ttl + bound + slack,
            "the session ended {shortest:?} after its last heartbeat: later than {ttl:?} + {bound:?} (+ {slack:?} for a slow machine)"
        );
        Ok(())
    }
}

async fn a_clean_close_ends_keys_before_it_returns(context: Context) -> Outcome {
    let (owner, other) = (context.client().await?, context.client().await?);
    let key = context.key("e")?;
    for _ in 0..20 {
        let session = context.long_session(&owner).await?;
        put(&owner, &key, session).await?;
        owner.registry().close_session(session).await?;
        absent(&other, &key, G4).await?;
    }
    Ok(())
}

async fn a_clean_close_is_told_within_one_heartbeat(context: Context) -> Outcome {
    let (owner, other) = (context.client().await?, context.client().await?);
    let key = context.key("e")?;
    let ttl = Duration::from_secs(6);
    let session = owner.open_session(SessionOptions::with_ttl(ttl)).await?;
    session.put(&key, "value").await?;
    let mut watcher = Watcher::open(&context, &other, &Scope::Key(key.clone())).await?;
    let start = Instant::now();
    session.close().await?;
    watcher.until_deleted(&key).await?;
    let (took, heartbeat) = (start.elapsed(), ttl / 3);
    ensure!(G4, took < heartbeat, "a clean close was told after {took:?}; a heartbeat takes {heartbeat:?}");
    Ok(())
}

async fn a_silent_session_ends_inside_its_bound(context: Context) -> Outcome {
    let (owner, other) = (context.client().await?, context.client().await?);
    let key = context.key("e")?;
    let mut watcher = Watcher::open(&context, &other, &Scope::Key(key.clone())).await?;
    let sent = Instant::now();
    let grant = owner.registry().open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?;
    let taken = Instant::now();
    put(&owner, &key, grant.id).await?;
    watcher.until_deleted(&key).await?;
    context.judge_end(grant.ttl, sent, taken, Instant::now())
}

async fn the_end_is_seen_by_every_client(context: Context) -> Outcome {
    let owner = context.client().await?;
    let others = [context.client().await?, context.client().await?, context.client().await?];
    let key = context.key("e")?;
    let mut watchers = Vec::new();
    for other in &others {
        watchers.push(Watcher::open(&context, other, &Scope::Key(key.clone())).await?);
    }
    let session = context.short_session(&owner).await?;
    put(&owner, &key, session).await?;
    for (other, watcher) in others.iter().zip(&mut watchers) {
        watcher.until_deleted(&key).await?;
        absent(other, &key, G4).await?;
    }
    Ok(())
}

async fn a_heartbeat_starts_the_ttl_again(context: Context) -> Outcome {
    let mut ttl = context.timing().session_ttl;
    while heartbeat_late_in_life(&context, ttl).await? == Heartbeat::CameTooLate {
        ttl *= 2;
    }
    Ok(())
}

/// Whether the heartbeat of a scenario came while it still could count.
#[derive(Debug, PartialEq, Eq)]
enum Heartbeat {
    Counted,
    /// The machine was too busy: the ttl was over when the heartbeat was sent.
    CameTooLate,
}

async fn heartbeat_late_in_life(context: &Context, ttl: Duration) -> Outcome<Heartbeat> {
    let (owner, other) = (context.client().await?, context.client().await?);
    let key = context.key(&format!("e-{}", ttl.as_millis()))?;
    let mut watcher = Watcher::open(context, &other, &Scope::Key(key.clone())).await?;
    let opened = Instant::now();
    let grant = owner.registry().open_session(SessionOptions::with_ttl(ttl)).await?;
    put(&owner, &key, grant.id).await?;
    // A session with half the ttl ends in between, so that the heartbeat comes late in the life of the other.
    context.one_ttl_passes(&owner, ttl / 2, &format!("half-{}", ttl.as_millis())).await?;
    let sent = Instant::now();
    let answer = owner.registry().heartbeat(grant.id).await;
    let taken = Instant::now();
    if answer.is_err() && taken.duration_since(opened) >= grant.ttl {
        return Ok(Heartbeat::CameTooLate);
    }
    let granted = answer?.ttl;
    watcher.until_deleted(&key).await?;
    context.judge_end(granted, sent, taken, Instant::now())?;
    Ok(Heartbeat::Counted)
}

async fn a_killed_client_loses_its_keys_inside_the_bound(context: Context) -> Outcome {
    let ((owner, cable), other) = (context.cabled_client().await?, context.client().await?);
    let key = context.key("e")?;
    let session = owner.open_session(SessionOptions::with_ttl(context.timing().session_ttl)).await?;
    session.put(&key, "value").await?;
    let mut watcher = Watcher::open(&context, &other, &Scope::Key(key.clone())).await?;
    cable.cut();
    let cut = Instant::now();
    // What is left of the deadline is what the session was promised by its last heartbeat.
    let promised = session.deadline().remaining();
    watcher.until_deleted(&key).await?;
    let (lived, bound) = (cut.elapsed(), context.timing().late_bound + context.slack_since(cut));
    ensure!(G4, lived >= promised, "the keys ended {lived:?} after the death; they were promised for {promised:?}");
    let ttl = session.ttl();
    ensure!(
        G4,
        lived <= ttl + bound,
        "the keys ended {lived:?} after the death; the ttl is {ttl:?}, the bound {bound:?}"
    );
    Ok(())
}

async fn a_slow_but_living_owner_keeps_its_keys(context: Context) -> Outcome {
    let client = context.client().await?;
    let ttl = context.timing().session_ttl * 3;
    let session = client.registry().open_session(SessionOptions::with_ttl(ttl)).await?.id;
    let key = context.key("e")?;
    put(&client, &key, session).await?;
    let revision = present(&client, &key, G4).await?.modified;
    for round in 0..4 {
        context.one_ttl_passes(&client, ttl / 3, &round.to_string()).await?;
        client.registry().heartbeat(session).await?;
    }
    ensure_eq!(G4, present(&client, &key, G4).await?.modified, revision, "the key of a slow owner");
    Ok(client.registry().close_session(session).await?)
}

async fn a_session_handle_outlives_its_ttl(context: Context) -> Outcome {
    let client = context.client().await?;
    let ttl = context.timing().session_ttl;
    let session = client.open_session(SessionOptions::with_ttl(ttl)).await?;
    let key = context.key("e")?;
    session.put(&key, "value").await?;
    for round in 0..3 {
        context.one_ttl_passes(&client, ttl, &round.to_string()).await?;
    }
    ensure!(G4, session.is_alive(), "a session that is kept alive ended: {:?}", session.state());
    present(&client, &key, G4).await?;
    Ok(session.close().await?)
}

async fn the_end_of_the_last_key_of_a_scope_is_told_with_its_value(context: Context) -> Outcome {
    let (owner, other) = (context.client().await?, context.client().await?);
    let (parent, key) = (context.key("p")?, context.key("p/e")?);
    let scopes = [Scope::Key(key.clone()), Scope::Children(parent.clone()), Scope::Tree(parent)];
    let mut watchers = Vec::new();
    let session = context.short_session(&owner).await?;
    put(&owner, &key, session).await?;
    for scope in &scopes {
        watchers.push(Watcher::open(&context, &other, scope).await?);
    }
    for watcher in &mut watchers {
        let (last, _) = watcher.until_deleted(&key).await?;
        ensure_eq!(G14, (last.value, last.owner), (Bytes::from("value"), Some(session)), "what the key was last");
    }
    Ok(())
}
