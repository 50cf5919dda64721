//! How many connections a member takes: no more than it can serve, and than its process may open.

use std::sync::Arc;

use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::member::limits::{CONNECTIONS_MAX, FILES_RESERVED, PLACES_RESERVED};

/// Places for connections, some of which are kept free of clients: without peers a member is lost, and without
/// `/health` nobody learns why.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    connections: Arc<Semaphore>,
    clients: Arc<Semaphore>,
    clients_max: usize,
}

impl Places {
    /// As many as the limit of open files of this process leaves. What is left to the log is never taken: a member that
    /// cannot open its next segment has failed.
    pub(crate) fn of_process() -> Self {
        let open_files = getrlimit(Resource::Nofile).current;
        let open_files = open_files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
        let places = Self::within(open_files);
        if places.clients_max < CONNECTIONS_MAX - PLACES_RESERVED {
            tracing::info!(
                clients = places.clients_max,
                open_files,
                "the limit of open files (ulimit -n) bounds how many clients this member serves"
            );
        }
        places
    }

    fn within(open_files: usize) -> Self {
        let connections = open_files.saturating_sub(FILES_RESERVED.min(open_files / 2)).min(CONNECTIONS_MAX);
        let clients_max = connections.saturating_sub(PLACES_RESERVED.min(connections / 2));
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Self { connections: semaphore(connections), clients: semaphore(clients_max), clients_max }
    }

    /// How many clients there may be.
    pub(crate) fn clients_max(&self) -> usize {
        self.clients_max
    }

    /// A place for a connection, whoever comes over it; `None`: all are taken.
    pub(crate) fn of_connection(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.connections).try_acquire_owned().ok()
    }

    /// A place for a client; `None`: all are taken.
    pub(crate) fn of_client(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.clients).try_acquire_owned().ok()
    }
}

#[cfg(test)]
impl Places {
    /// For so many clients.
    pub(crate) fn for_clients(clients_max: usize) -> Self {
        let clients = Arc::new(Semaphore::new(clients_max));
        Self { connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)), clients, clients_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit of open files, and how many connections and clients it leaves.
    #[test]
    fn the_limit_of_open_files_leaves_room_for_the_log_and_for_peers() {
        let cases = [(usize::MAX, 20_000, 19_900), (1024, 768, 668), (256, 128, 64), (0, 0, 0)];
        for (open_files, connections, clients) in cases {
            let places = Places::within(open_files);
            assert_eq!((places.connections.available_permits(), places.clients_max()), (connections, clients));
        }
    }

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let places = Places::for_clients(1);
        let place = places.of_client();
        assert!(place.is_some() && places.of_client().is_none());
        drop(place);
        assert!(places.of_client().is_some());
    }
}
