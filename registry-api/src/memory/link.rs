//! The way from one client to the store, which tests may cut.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{ConnectionPublisher, ConnectionState, ConnectionWatch};

/// What becomes of the requests of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reachability {
    /// They are answered.
    #[default]
    Reachable,
    /// They fail at once with [`Unavailable`](crate::ErrorKind::Unavailable) and
    /// [`Effect::NotApplied`](crate::Effect::NotApplied), as where nobody listens.
    Refusing,
    /// They wait without an answer, as where packets are lost: answered if the store is reachable again within the
    /// request timeout, and failing with [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded) otherwise.
    Silent,
    /// They are applied, but the answers are lost: changes fail at once with
    /// [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded) and [`Effect::Unknown`](crate::Effect::Unknown).
    AnswersLost,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cuts {
    store: Reachability,
    client: Reachability,
}

impl Cuts {
    fn effective(self) -> Reachability {
        if self.store == Reachability::Reachable { self.client } else { self.store }
    }
}

#[derive(Debug)]
pub(super) struct Link {
    cuts: watch::Sender<Cuts>,
    connection: ConnectionPublisher,
    closed: CancellationToken,
}

impl Link {
    pub(super) fn new(store: Reachability) -> Self {
        let cuts = Cuts { store, ..Cuts::default() };
        Self {
            cuts: watch::Sender::new(cuts),
            connection: ConnectionPublisher::new(connection_state(cuts)),
            closed: CancellationToken::new(),
        }
    }

    pub(super) fn reachability(&self) -> Reachability {
        self.cuts.borrow().effective()
    }

    pub(super) fn set_client(&self, reachability: Reachability) {
        self.cuts.send_modify(|cuts| cuts.client = reachability);
        self.connection.publish(connection_state(*self.cuts.borrow()));
    }

    pub(super) fn set_store(&self, reachability: Reachability) {
        self.cuts.send_modify(|cuts| cuts.store = reachability);
        self.connection.publish(connection_state(*self.cuts.borrow()));
    }

    /// Waits until requests are no longer lost; dropping the future changes nothing.
    pub(super) async fn not_silent(&self) {
        self.wait_for(|reachability| reachability != Reachability::Silent).await;
    }

    pub(super) async fn reachable(&self) {
        self.wait_for(|reachability| reachability == Reachability::Reachable).await;
    }

    async fn wait_for(&self, wanted: impl Fn(Reachability) -> bool) {
        let mut cuts = self.cuts.subscribe();
        // The sender lives in `self`, so this ends only when the wanted state is there.
        let _seen = cuts.wait_for(|cuts| wanted(cuts.effective())).await;
    }

    pub(super) fn watch(&self) -> ConnectionWatch {
        self.connection.watch()
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
        self.connection.publish(ConnectionState::Closed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

fn connection_state(cuts: Cuts) -> ConnectionState {
    match cuts.effective() {
        Reachability::Reachable => ConnectionState::Connected,
        Reachability::Refusing | Reachability::Silent | Reachability::AnswersLost => ConnectionState::Suspended,
    }
}
