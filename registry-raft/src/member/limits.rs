//! The limits of one member: every queue and every wait of the service is bounded by a value of this file.

use std::time::Duration;

/// Proposals that wait for the batcher; more wait outside, towards their deadlines.
pub(crate) const PROPOSAL_QUEUE_LEN: usize = 4096;
/// Proposals in one log entry.
pub(crate) const BATCH_LEN_MAX: usize = 256;
/// Bytes in one log entry beyond which no further proposal joins it; a single longer proposal gets an entry of its own.
pub(crate) const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Entries proposed and not answered yet. Under load the next entry grows while this many are on their way.
pub(crate) const BATCHES_IN_FLIGHT_MAX: usize = 8;
/// The longest proposal, in bytes: a transaction of several of the longest values.
pub(crate) const PROPOSAL_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The longest wait that a request may ask for; longer ones are cut to it. Waiting for a lock is bounded by the session.
pub(crate) const DEADLINE_MAX: Duration = Duration::from_secs(30);
/// The longest wait for a lock in one request; the client asks again.
pub(crate) const GRANT_WAIT_MAX: Duration = Duration::from_secs(600);

/// Requests of one connection that are not answered yet, without waits for locks.
pub(crate) const REQUESTS_PER_CONNECTION_MAX: usize = 1000;
/// Subscriptions of one connection.
pub(crate) const SUBSCRIPTIONS_PER_CONNECTION_MAX: usize = 10_000;
/// Waits for locks of one connection.
pub(crate) const GRANT_WAITS_PER_CONNECTION_MAX: usize = 10_000;
/// Subscriptions of one member.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 100_000;
/// Waits for locks at one member.
pub(crate) const GRANT_WAITS_MAX: usize = 100_000;
/// Connections of clients, members and browsers together, where the process may open that many files.
pub(crate) const CONNECTIONS_MAX: usize = 20_000;
/// Of these, so many are kept free of clients.
pub(crate) const PLACES_RESERVED: usize = 100;
/// Files that the process may open besides connections: the log, snapshots, and what else it does.
pub(crate) const FILES_RESERVED: usize = 256;
/// Messages to one client that are ready to be sent.
pub(crate) const OUTBOUND_LEN: usize = 1024;
/// A client that takes nothing for so long is cut off.
pub(crate) const OUTBOUND_STALL_MAX: Duration = Duration::from_secs(30);
/// Within this something must have come over a connection, and the greeting of a client.
pub(crate) const GREETING_WITHIN: Duration = Duration::from_secs(5);

/// Events buffered for one subscription.
pub(crate) const WATCH_EVENTS_MAX: usize = 4096;
/// Bytes of values and keys buffered for one subscription.
pub(crate) const WATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Events in one message.
pub(crate) const EVENTS_PER_MESSAGE_MAX: usize = 256;
/// Events read from the history at a time; a revision is never split, so one revision more may come on top.
pub(crate) const CATCH_UP_LEN: usize = 1024;
/// After so long without an event a subscription is told how far it is.
pub(crate) const PROGRESS_AFTER: Duration = Duration::from_secs(5);

/// Children in one part of a listing.
pub(crate) const LIST_PART_LEN_MAX: usize = 1000;

/// How often the leader looks at its sessions.
pub(crate) const SESSION_TICK: Duration = Duration::from_millis(50);
/// After its deadline a session may still be heard for this long: what arrived in time may wait in a socket. A little less
/// than a tick, so that the next one ends it.
pub(crate) const OVERDUE_GRACE: Duration = Duration::from_millis(40);
/// A leader that did not get to look for this long was stalled itself: the time does not count for anybody.
pub(crate) const STALL_AFTER: Duration = Duration::from_millis(200);
/// After this long connections may be lost too, so everybody gets a full ttl.
pub(crate) const STALL_LONG: Duration = Duration::from_secs(1);
/// When the clock that counts suspension is this far ahead of the one that does not, the machine was suspended.
pub(crate) const SUSPENDED_AFTER: Duration = Duration::from_millis(100);
/// Ends of silent sessions that are proposed at a time.
pub(crate) const EXPIRIES_AT_ONCE: usize = 256;
/// A client identity that sends nothing for this long ends.
pub(crate) const CLIENT_TTL: Duration = Duration::from_secs(60);
/// Round trips that a death certificate shows.
pub(crate) const ROUND_TRIPS_KEPT: usize = 8;

/// A graceful stop takes no longer than this: for handing leadership over, and again for connections to end.
pub(crate) const STOP_STEP_MAX: Duration = Duration::from_secs(2);
/// Requests of streams that are under way may still be answered for this long when the member leaves.
pub(crate) const FINISH_WITHIN: Duration = Duration::from_millis(500);
