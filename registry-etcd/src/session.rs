//! Sessions: one lease each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use humantime::format_duration;
use registry_api::{
    Effect, Heartbeat, SESSION_LABEL_LEN_MAX, SESSION_TTL_MAX, SESSION_TTL_MIN, SessionGrant, SessionId, SessionOptions,
};

use tokio::sync::oneshot;

use crate::connect::{Link, Request};
use crate::error::{Failure, Reason};
use crate::keys::{lease_of, session_of};
use crate::registry::Core;

/// How many granted ttls are remembered: those of sessions that this client keeps alive.
const KNOWN_MAX: usize = 10_000;

/// The ttls that were granted, by session.
#[derive(Debug, Default)]
pub(crate) struct GrantedTtls(Mutex<BTreeMap<SessionId, Duration>>);

impl GrantedTtls {
    fn note(&self, session: SessionId, ttl: Duration) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.pop_first();
        }
        known.insert(session, ttl);
    }

    fn of(&self, session: SessionId) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&session).copied()
    }

    fn forget(&self, session: SessionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
    }
}

impl Core {
    /// Opens a session. The lease of a future that was dropped is given back; one whose answer was lost is known to
    /// nobody and ends with its ttl.
    pub(crate) async fn open_session(self: &Arc<Self>, options: &SessionOptions) -> Result<SessionGrant, Failure> {
        check(options)?;
        let (core, seconds) = (Arc::clone(self), whole_seconds(options.ttl));
        let (tell, told) = oneshot::channel();
        self.connection.spawn(async move {
            if let Err(Ok(unwanted)) = tell.send(core.grant(seconds).await) {
                let SessionGrant { id, .. } = unwanted;
                if let Err(failure) = core.close_session(id).await {
                    tracing::debug!(session = %id, ?failure, "a session that nobody waits for ends with its ttl");
                }
            }
        });
        told.await.unwrap_or_else(|_ended| Err(Failure::closed().with_effect(Effect::Unknown)))
    }

    async fn grant(&self, seconds: i64) -> Result<SessionGrant, Failure> {
        let send = |link: Arc<Link>| async move { link.lease().grant(seconds, None).await };
        let granted = self.connection.call(Request::Repeatable, self.connection.deadline(), send).await?;
        let ttl = Duration::from_secs(u64::try_from(granted.ttl()).unwrap_or_default());
        let id = session_of(granted.id());
        if ttl.is_zero() || lease_of(id).is_none() {
            return Err(Failure::nonsense(format!("the server granted the lease {id} for {ttl:?}")));
        }
        self.ttls.note(id, ttl);
        Ok(SessionGrant { id, ttl })
    }

    /// One keep-alive there and back, on a stream of its own: nothing has to be looked after between two of them.
    pub(crate) async fn heartbeat(&self, session: SessionId) -> Result<Heartbeat, Failure> {
        let Some(lease) = lease_of(session) else { return Err(Failure::session_ended(session)) };
        let deadline = self.connection.deadline();
        let send = |link: Arc<Link>| async move { link.lease().keep_alive(lease).await.map(drop) };
        let kept = self.connection.call(Request::Read, deadline, send).await;
        if let Err(failure) = kept {
            return Err(self.ended_or(session, failure));
        }
        if let Some(ttl) = self.ttls.of(session) {
            return Ok(Heartbeat { ttl });
        }
        // Opened by another client: what it was granted is asked once.
        let send = |link: Arc<Link>| async move { link.lease().time_to_live(lease, None).await };
        let told = self.connection.call(Request::Read, deadline, send).await?;
        match u64::try_from(told.granted_ttl()) {
            Ok(seconds) if seconds > 0 && told.ttl() >= 0 => {
                let ttl = Duration::from_secs(seconds);
                self.ttls.note(session, ttl);
                Ok(Heartbeat { ttl })
            }
            _ => Err(Failure::session_ended(session)),
        }
    }

    /// Ends a session. The server cannot tell a session that has ended from one that never was: both are ended now.
    pub(crate) async fn close_session(&self, session: SessionId) -> Result<(), Failure> {
        let Some(lease) = lease_of(session) else { return Err(Failure::session_ended(session)) };
        let send = |link: Arc<Link>| async move { link.lease().revoke(lease).await };
        let revoked = self.connection.call(Request::Repeatable, self.connection.deadline(), send).await;
        match revoked {
            Ok(answer) => {
                self.connection.saw(answer.header().map(etcd_client::ResponseHeader::revision).unwrap_or_default());
            }
            Err(failure) if failure.reason == Reason::LeaseNotFound => {}
            Err(failure) => return Err(failure),
        }
        self.forget(session);
        Ok(())
    }

    /// Whether a session lives.
    pub(crate) async fn is_alive(&self, session: SessionId) -> Result<bool, Failure> {
        let Some(lease) = lease_of(session) else { return Ok(false) };
        let send = |link: Arc<Link>| async move { link.lease().time_to_live(lease, None).await };
        match self.connection.call(Request::Read, self.connection.deadline(), send).await {
            Ok(told) => Ok(told.granted_ttl() > 0 && told.ttl() >= 0),
            Err(failure) if failure.reason == Reason::LeaseNotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    fn ended_or(&self, session: SessionId, failure: Failure) -> Failure {
        if failure.reason != Reason::LeaseNotFound {
            return failure;
        }
        self.forget(session);
        Failure::session_ended(session)
    }

    /// The session has ended: nothing of it is kept here.
    fn forget(&self, session: SessionId) {
        self.ttls.forget(session);
        self.locks.end_session(session);
    }
}

/// etcd counts ttls in whole seconds, and grants no less than one and a half election timeouts, rounded up.
fn whole_seconds(ttl: Duration) -> i64 {
    let rounded = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

fn check(options: &SessionOptions) -> Result<(), Failure> {
    if !(SESSION_TTL_MIN..=SESSION_TTL_MAX).contains(&options.ttl) {
        let (ttl, least, most) =
            (format_duration(options.ttl), format_duration(SESSION_TTL_MIN), format_duration(SESSION_TTL_MAX));
        let message = format!("the ttl = \"{ttl}\" is out of range: \"{least}\" to \"{most}\" are allowed");
        return Err(Failure::invalid(message));
    }
    let len = options.label.len();
    if len > SESSION_LABEL_LEN_MAX {
        let message = format!("the label has {len} bytes; at most {SESSION_LABEL_LEN_MAX} are allowed");
        return Err(Failure::invalid(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_are_rounded_up_to_whole_seconds() {
        for (millis, seconds) in [(500, 1), (1000, 1), (1001, 2), (600_000, 600)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds, "{millis} ms");
        }
    }

    #[test]
    fn a_ttl_out_of_range_is_refused_and_the_range_is_named() {
        for ttl in [Duration::ZERO, Duration::from_millis(499), Duration::from_secs(601), Duration::MAX] {
            let failure = check(&SessionOptions::with_ttl(ttl)).unwrap_err();
            assert_eq!(failure.kind, registry_api::ErrorKind::InvalidArgument);
        }
    }
}
