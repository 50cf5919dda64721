//! The task that keeps one session alive, gives back what its guards dropped, and closes it in the end.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::life::Life;
use super::releases::Releases;
use crate::clock::Moment;
use crate::{Error, ErrorKind, Heartbeat, RegistryClient, Result, SessionEnd, SessionGrant};

/// Heartbeats on their way at the same time. A slow answer still counts from when it was asked for, so a connection that
/// is slower than the interval keeps its session; more than these would only add to its load.
const IN_FLIGHT_MAX: usize = 4;

/// However short the configured interval is, heartbeats are not sent more often.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// How a session was closed at the backend: `None` until that is known.
pub(super) type Closing = Option<Result<(), Arc<Error>>>;

pub(super) struct Keeper {
    pub(super) client: RegistryClient,
    pub(super) grant: SessionGrant,
    /// When the session was asked for: its first ttl counts from there.
    pub(super) opened: Moment,
    pub(super) life: Arc<Life>,
    pub(super) releases: Arc<Releases>,
    pub(super) stop: CancellationToken,
    pub(super) closing: watch::Sender<Closing>,
}

/// A heartbeat's answer, with the moment from which its ttl counts.
struct Answer {
    sent: Moment,
    result: Result<Heartbeat>,
}

impl Keeper {
    /// Ends by itself: with the session, or when told to stop; then within the request timeout.
    pub(super) async fn run(self) {
        self.keep().await;
        let end = self.life.end(SessionEnd::Closed);
        tracing::debug!(session = %self.grant.id, ?end, "session ended");
        metrics::counter!("registry_sessions_ended_total", "end" => end_label(end)).increment(1);
        // A session that is only presumed ended is left to its ttl: closing it now would delete keys that a new session of
        // the same process is about to take over, and tell everybody that a healthy process died.
        let closed = match end {
            SessionEnd::Expired | SessionEnd::Presumed => Ok(()),
            SessionEnd::Closed => self.client.close_session(self.grant.id).await,
        };
        self.closing.send_replace(Some(closed.map_err(Arc::new)));
    }

    /// Returns when the session has ended or shall end.
    async fn keep(&self) {
        let mut interval = self.interval(self.grant.ttl);
        // On the clock of the deadline: after the machine was suspended, the next heartbeat is due at once.
        let mut next = self.opened.plus(interval);
        let mut answers = FuturesUnordered::new();
        let mut releasing = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                _end = self.life.ended() => return,
                Some(answer) = answers.next() => {
                    interval = self.interval(answer_ttl(&answer).unwrap_or(self.grant.ttl));
                    next = self.take(answer, next, interval);
                }
                () = self.life.sleep_until(next), if answers.len() < IN_FLIGHT_MAX => {
                    if !answers.is_empty() {
                        self.life.suspend();
                    }
                    answers.push(self.ask());
                    next = self.life.now().plus(interval);
                }
                given = self.releases.take() => {
                    releasing.extend(given.into_iter().map(|what| what.until_done(self.client.clone())));
                }
                Some(()) = releasing.next() => {}
            }
        }
    }

    /// The moment is taken before anything is sent: what the backend grants counts from later than that.
    fn ask(&self) -> BoxFuture<'static, Answer> {
        let (client, session) = (self.client.clone(), self.grant.id);
        let sent = self.life.now();
        Box::pin(async move { Answer { sent, result: client.heartbeat(session).await } })
    }

    /// Takes an answer in and returns when to ask next.
    fn take(&self, answer: Answer, next: Moment, interval: Duration) -> Moment {
        match answer.result {
            Ok(heartbeat) => {
                self.life.confirm(answer.sent.plus(usable(heartbeat.ttl)));
                next.min(self.life.now().plus(interval))
            }
            Err(error) if *error.kind() == ErrorKind::SessionEnded => {
                self.life.end(SessionEnd::Expired);
                next
            }
            Err(error) => {
                tracing::debug!(session = %self.grant.id, %error, "heartbeat failed");
                self.life.suspend();
                next.min(self.life.now().plus(retry_pause(interval)))
            }
        }
    }

    fn interval(&self, ttl: Duration) -> Duration {
        let third = ttl / 3;
        let configured = self.client.options().heartbeat_interval.unwrap_or(third);
        configured.max(INTERVAL_MIN).min(third)
    }
}

/// How much of a ttl the holder relies on. The rest covers a difference in the rate of the two clocks (one in a thousand)
/// and the time between looking at the clock and acting on it (50 ms; a tenth of a very short ttl).
pub(super) fn usable(ttl: Duration) -> Duration {
    let margin = ttl / 1000 + Duration::from_millis(50).min(ttl / 10);
    ttl.saturating_sub(margin)
}

fn retry_pause(interval: Duration) -> Duration {
    (interval / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
}

fn answer_ttl(answer: &Answer) -> Option<Duration> {
    answer.result.as_ref().ok().map(|heartbeat| heartbeat.ttl)
}

fn end_label(end: SessionEnd) -> &'static str {
    match end {
        SessionEnd::Closed => "closed",
        SessionEnd::Expired => "expired",
        SessionEnd::Presumed => "presumed",
    }
}
