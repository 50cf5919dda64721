//! A subscription that survives its own errors: subscribes again, and tells a snapshot where it did.

use crate::backoff::Backoff;
use crate::{ConnectionState, ErrorKind, Event, RegistryClient, Result, Scope, Subscription};

/// Follows a scope until the registry is closed. After an error it subscribes again with growing pauses up to 5 s. It
/// always begins again with a snapshot: an event does not say whether more of its revision was still to come, so there
/// is no revision that could safely be resumed from.
#[derive(Debug)]
pub(crate) struct Follower {
    client: RegistryClient,
    scope: Scope,
    subscription: Option<Subscription>,
    backoff: Backoff,
    pause_first: bool,
}

impl Follower {
    /// Subscribes at the first event that is asked for.
    pub(crate) fn new(client: &RegistryClient, scope: Scope) -> Self {
        let backoff = Backoff::patient();
        Self { client: client.clone(), scope, subscription: None, backoff, pause_first: false }
    }

    /// Subscribes now, and tells when that fails.
    pub(crate) async fn open(client: &RegistryClient, scope: Scope) -> Result<Self> {
        let subscription = client.subscribe(&scope).await?;
        Ok(Self { subscription: Some(subscription), ..Self::new(client, scope) })
    }

    /// The next event; `None` when the registry is closed. Dropping the future loses no event.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(subscription) = &mut self.subscription {
                match subscription.next().await {
                    Some(Ok(event)) => {
                        self.backoff.reset();
                        return Some(event);
                    }
                    Some(Err(error)) => {
                        tracing::debug!(scope = %self.scope, %error, "subscription failed, subscribing again");
                    }
                    None => {}
                }
                self.subscription = None;
                self.pause_first = true;
            }
            if self.client.connection().state() == ConnectionState::Closed {
                return None;
            }
            self.subscribe_again().await?;
        }
    }

    /// `None` when the registry is closed.
    async fn subscribe_again(&mut self) -> Option<()> {
        if self.pause_first {
            self.backoff.sleep().await;
        }
        match self.client.subscribe(&self.scope).await {
            Ok(subscription) => {
                self.subscription = Some(subscription);
            }
            Err(error) if *error.kind() == ErrorKind::Closed => return None,
            Err(error) => {
                self.pause_first = true;
                tracing::debug!(scope = %self.scope, %error, "subscribing again failed");
            }
        }
        Some(())
    }
}
