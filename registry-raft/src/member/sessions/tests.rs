//! Sessions at the leader, with a clock that a test moves.

use super::*;
use crate::member::quorum_fake::Bench;

const TTL_MS: u64 = 10_000;
const TTL: Duration = Duration::from_millis(TTL_MS);

fn heartbeat(bench: &Bench, session: u64) -> Result<proto::HeartbeatTaken, proto::Failure> {
    let heartbeat = proto::HeartbeatRequest { session, last_round_trip_us: 700 };
    bench.sessions.heartbeat(&heartbeat).map_err(|failed| match failed {
        Failed::Refused(refusal) => refusal.failure(),
        other => panic!("{other:?}"),
    })
}

/// One look at the deadlines, `room` ends at most.
fn tick(bench: &Bench) -> Option<Expiries> {
    let leadership = bench.quorum.leadership().borrow().clone();
    bench.sessions.tick(&leadership, EXPIRIES_AT_ONCE)
}

/// Passes time as a leader that is not stalled does: tick by tick.
fn pass(bench: &Bench, time: Duration) -> Vec<u64> {
    let mut ended = Vec::new();
    let mut passed = Duration::ZERO;
    while passed < time {
        bench.clock.advance(SESSION_TICK);
        passed += SESSION_TICK;
        ended.extend(tick(bench).into_iter().flat_map(|expiries| expiries.sessions).map(|silent| silent.id));
    }
    ended
}

fn leading() -> (Bench, u64) {
    let bench = Bench::new();
    bench.quorum.lead(1);
    tick(&bench);
    let session = bench.open_session(TTL_MS);
    (bench, session)
}

#[tokio::test]
async fn a_heartbeat_is_taken_by_a_confirmed_leader_and_gives_the_ttl() {
    let (bench, session) = leading();
    assert_eq!(heartbeat(&bench, session).unwrap().ttl_ms, TTL_MS);
    assert_eq!(heartbeat(&bench, session + 1).unwrap_err(), proto::Failure::SessionEnded);
}

#[tokio::test]
async fn a_heartbeat_is_refused_by_whoever_cannot_speak_for_the_group() {
    let (bench, session) = leading();
    bench.quorum.confirm_until(Some(Instant::now()));
    assert_eq!(heartbeat(&bench, session).unwrap_err(), proto::Failure::Unavailable);
    bench.quorum.lead(2);
    assert_eq!(heartbeat(&bench, session).unwrap_err(), proto::Failure::Unavailable, "before its first look");
    tick(&bench);
    heartbeat(&bench, session).unwrap();
    bench.quorum.set_leadership(Leadership { term: 3, leading: true, ..Leadership::default() });
    assert_eq!(heartbeat(&bench, session).unwrap_err(), proto::Failure::Unavailable, "not ready");
    bench.quorum.set_leadership(Leadership { term: 4, ..Leadership::default() });
    assert_eq!(heartbeat(&bench, session).unwrap_err(), proto::Failure::NotLeader);
}

#[tokio::test]
async fn a_session_ends_after_its_ttl_and_not_before() {
    let (bench, session) = leading();
    assert!(pass(&bench, TTL - SESSION_TICK).is_empty());
    heartbeat(&bench, session).unwrap();
    assert!(pass(&bench, TTL - SESSION_TICK).is_empty());
    assert_eq!(pass(&bench, SESSION_TICK * 3), [session]);
}

#[tokio::test]
async fn a_new_leader_gives_everybody_a_full_ttl() {
    let (bench, session) = leading();
    pass(&bench, TTL - SESSION_TICK);
    bench.quorum.lead(2);
    assert!(pass(&bench, TTL).is_empty());
    assert_eq!(pass(&bench, SESSION_TICK * 3), [session]);
}

/// The leader does not run for this long; the machine does.
async fn stall(bench: &Bench, time: Duration) {
    bench.clock.advance(time);
    tokio::time::advance(time).await;
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_short_stall_counts_for_nobody_and_heartbeats_are_taken_right_after_it() {
    let (bench, session) = leading();
    pass(&bench, TTL - SESSION_TICK * 2);
    stall(&bench, STALL_LONG - SESSION_TICK).await;
    heartbeat(&bench, bench.open_session(TTL_MS)).unwrap();
    assert!(tick(&bench).is_none());
    assert!(pass(&bench, SESSION_TICK).is_empty());
    assert_eq!(pass(&bench, SESSION_TICK * 3), [session]);
}

#[tokio::test(start_paused = true)]
async fn a_long_stall_gives_everybody_a_full_ttl() {
    let (bench, session) = leading();
    pass(&bench, TTL - SESSION_TICK);
    stall(&bench, STALL_LONG + SESSION_TICK).await;
    assert!(pass(&bench, TTL).is_empty());
    assert_eq!(pass(&bench, SESSION_TICK * 3), [session]);
}

#[tokio::test]
async fn a_leader_that_was_suspended_gives_everybody_a_full_ttl_once_it_is_confirmed_anew() {
    let (bench, session) = leading();
    bench.quorum.confirm_until(Some(Instant::now() + Duration::from_secs(3600)));
    bench.clock.advance(TTL * 5);
    assert_eq!(heartbeat(&bench, session).unwrap_err(), proto::Failure::Unavailable, "it slept, and does not know");
    assert!(tick(&bench).is_none());
    assert_eq!(heartbeat(&bench, session).unwrap_err(), proto::Failure::Unavailable, "confirmed before it slept");
    bench.quorum.confirm_until(Some(Instant::now() + Duration::from_secs(7200)));
    assert!(pass(&bench, TTL).is_empty());
    assert_eq!(pass(&bench, SESSION_TICK * 3), [session]);
}

#[tokio::test]
async fn without_a_quorum_nothing_ends_and_afterwards_everybody_has_a_full_ttl() {
    let (bench, session) = leading();
    bench.quorum.confirm_until(None);
    assert!(pass(&bench, TTL * 3).is_empty());
    bench.quorum.confirm_until(Some(Instant::now() + Duration::from_secs(3600)));
    assert!(pass(&bench, TTL).is_empty());
    assert_eq!(pass(&bench, SESSION_TICK * 3), [session]);
}

#[tokio::test]
async fn an_end_is_proposed_once_with_a_certificate_and_heartbeats_are_refused_from_then_on() {
    let (bench, session) = leading();
    heartbeat(&bench, session).unwrap();
    pass(&bench, TTL - SESSION_TICK);
    bench.clock.advance(SESSION_TICK * 2);
    tick(&bench);
    bench.clock.advance(SESSION_TICK);
    let expiries = tick(&bench).expect("the end is due");
    assert_eq!(heartbeat(&bench, session).unwrap_err(), proto::Failure::Unavailable);
    bench.clock.advance(SESSION_TICK);
    assert!(tick(&bench).is_none(), "proposed once");
    Arc::clone(&bench.sessions).end(expiries).await;
    assert_eq!(heartbeat(&bench, session).unwrap_err(), proto::Failure::SessionEnded);
    let state = bench.quorum.state();
    let certificate = state.deaths().next().expect("a certificate");
    assert_eq!((certificate.session, certificate.leader, certificate.label.as_str()), (session, 1, "worker"));
    assert_eq!(certificate.round_trips_us, [700]);
    assert!(certificate.silent_ms >= TTL_MS);
}

#[tokio::test]
async fn an_end_that_was_surely_not_applied_gives_the_session_a_full_ttl() {
    let (bench, session) = leading();
    bench.quorum.refuse_with(Some(ProposeError::RetryLater));
    let expiries = due(&bench);
    Arc::clone(&bench.sessions).end(expiries).await;
    heartbeat(&bench, session).unwrap();
    assert!(pass(&bench, TTL - SESSION_TICK).is_empty());
}

#[tokio::test]
async fn an_end_of_which_nobody_knows_is_proposed_again_and_the_session_stays_unheard() {
    let (bench, session) = leading();
    bench.quorum.refuse_with(Some(ProposeError::Unknown("lost".to_owned())));
    let expiries = due(&bench);
    Arc::clone(&bench.sessions).end(expiries).await;
    assert_eq!(heartbeat(&bench, session).unwrap_err(), proto::Failure::Unavailable);
    assert_eq!(pass(&bench, SESSION_TICK), [session]);
}

#[tokio::test]
async fn a_silent_client_identity_ends_and_its_sessions_do_not() {
    let (bench, _session) = leading();
    let register = proto::RegisterClient { nonce: vec![7; 16].into(), label: String::new() };
    let outcome = bench.quorum.apply([proto::command::Command::RegisterClient(register)]).remove(0);
    let Some(proto::outcome::Outcome::Client(client)) = outcome.outcome else { panic!("{outcome:?}") };
    let session = bench.open_session(600_000);
    let mut passed = Duration::ZERO;
    let mut ended = Vec::new();
    while passed <= CLIENT_TTL + SESSION_TICK * 2 {
        bench.clock.advance(SESSION_TICK);
        passed += SESSION_TICK;
        ended.extend(tick(&bench).into_iter().flat_map(|expiries| expiries.clients).map(|silent| silent.id));
        if passed == CLIENT_TTL / 2 {
            assert!(ended.is_empty());
        }
    }
    assert_eq!(ended, [client]);
    heartbeat(&bench, session).unwrap();
}

/// Passes time until an end is due.
fn due(bench: &Bench) -> Expiries {
    loop {
        bench.clock.advance(SESSION_TICK);
        if let Some(expiries) = tick(bench) {
            return expiries;
        }
    }
}
