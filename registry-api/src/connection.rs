//! Whether the backend can be reached, as a value that can be watched.

use tokio::sync::watch;

/// How a registry stands with its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// Not connected yet.
    Connecting,
    /// Operations are answered.
    Connected,
    /// No server that can serve (unreachable, or without a quorum) for now: operations wait and fail, sessions run
    /// towards their deadlines.
    Suspended,
    /// Closed for good.
    Closed,
}

/// Watches a [`ConnectionState`]; a late watcher sees the current state first.
#[derive(Clone, Debug)]
pub struct ConnectionWatch(watch::Receiver<ConnectionState>);

/// The backend's end of a [`ConnectionWatch`].
#[derive(Debug)]
pub struct ConnectionPublisher(watch::Sender<ConnectionState>);

impl ConnectionPublisher {
    /// Starts in this state.
    #[must_use]
    pub fn new(state: ConnectionState) -> Self {
        Self(watch::Sender::new(state))
    }

    /// Moves to `state`. [`ConnectionState::Closed`] is final: later calls change nothing.
    pub fn publish(&self, state: ConnectionState) {
        self.0.send_if_modified(|current| {
            let moves = *current != state && *current != ConnectionState::Closed;
            if moves {
                *current = state;
            }
            moves
        });
    }

    /// A watch on it.
    #[must_use]
    pub fn watch(&self) -> ConnectionWatch {
        ConnectionWatch(self.0.subscribe())
    }
}

impl ConnectionWatch {
    /// The state now.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        *self.0.borrow()
    }

    /// Waits for a change and returns the new state; [`ConnectionState::Closed`] when the registry is gone.
    ///
    /// # Cancellation
    ///
    /// Safe: a change that was not returned is returned by the next call.
    pub async fn changed(&mut self) -> ConnectionState {
        match self.0.changed().await {
            Ok(()) => *self.0.borrow_and_update(),
            Err(_gone) => ConnectionState::Closed,
        }
    }

    /// Waits until the state is `wanted`, or closed; returns which.
    ///
    /// # Cancellation
    ///
    /// Safe.
    pub async fn reached(&mut self, wanted: ConnectionState) -> ConnectionState {
        match self.0.wait_for(|state| *state == wanted || *state == ConnectionState::Closed).await {
            Ok(state) => *state,
            Err(_gone) => ConnectionState::Closed,
        }
    }
}
