//! What an election promises candidates and observers.

use crate::memory::Reachability;
use crate::testbed::{Testbed, key, settle};
use crate::{Election, ErrorKind, Leader, LeaderObserver};

fn candidate(bed: &Testbed, name: &'static str) -> Election {
    Election::new(bed.client.clone(), key("/leader"), name)
}

async fn next_name(observer: &mut LeaderObserver) -> Option<String> {
    let name = |leader: Leader| String::from_utf8(leader.candidate.to_vec()).unwrap();
    observer.next().await.unwrap().map(name)
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_every_change_and_standbys_take_over_in_order() {
    let bed = Testbed::new();
    let mut observer = candidate(&bed, "observer").observe();
    assert_eq!(next_name(&mut observer).await, None);
    let (first, second) = (bed.session().await, bed.other_session().await);
    let leadership = candidate(&bed, "a").campaign(&first).await.unwrap();
    let standby = tokio::spawn({
        let election = candidate(&bed, "b");
        async move { election.campaign(&second).await.unwrap() }
    });
    settle().await;
    assert_eq!(next_name(&mut observer).await.as_deref(), Some("a"));

    let token = leadership.token();
    leadership.resign().await.unwrap();

    let next = standby.await.unwrap();
    assert!(next.token() > token);
    assert_eq!(next_name(&mut observer).await, None);
    assert_eq!(next_name(&mut observer).await.as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_ends_leadership_before_the_next_leader_begins() {
    let bed = Testbed::new();
    let (first, second) = (bed.session().await, bed.other_session().await);
    let leadership = candidate(&bed, "a").campaign(&first).await.unwrap();
    let other = Election::new(bed.other_client(), key("/leader"), "b");
    let standby = tokio::spawn(async move {
        let leadership = other.campaign(&second).await.unwrap();
        (tokio::time::Instant::now(), leadership)
    });
    bed.registry.set_reachable(Reachability::Silent);

    leadership.lost().await;

    assert_eq!(*leadership.check().unwrap_err().kind(), ErrorKind::LockLost);
    let lost = tokio::time::Instant::now();
    let (began, next) = standby.await.unwrap();
    assert!(lost < began);
    assert!(next.token() > leadership.token());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_leadership_leaves_neither_record_nor_lock() {
    let bed = Testbed::new();
    let session = bed.session().await;
    drop(candidate(&bed, "a").campaign(&session).await.unwrap());
    settle().await;
    assert_eq!(candidate(&bed, "a").leader().await.unwrap(), None);
    assert_eq!((bed.store.usage().keys, bed.store.usage().locks), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_campaign_whose_record_was_not_answered_gives_everything_back() {
    let bed = Testbed::new();
    let session = bed.session().await;
    let election = candidate(&bed, "a");
    let mut campaign = Box::pin(election.campaign(&session));
    bed.registry.set_reachable(Reachability::Silent);
    assert!(futures::poll!(&mut campaign).is_pending());
    bed.registry.set_reachable(Reachability::Reachable);
    drop(campaign);
    settle().await;
    assert_eq!((bed.store.usage().keys, bed.store.usage().locks, bed.store.usage().waiters), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_late_resignation_does_not_remove_the_successor() {
    let bed = Testbed::new();
    let (first, second) = (bed.session().await, bed.other_session().await);
    let former = candidate(&bed, "a").campaign(&first).await.unwrap();
    bed.store.expire_session(first.id());
    let leader = Election::new(bed.other_client(), key("/leader"), "b").campaign(&second).await.unwrap();

    assert_eq!(*former.resign().await.unwrap_err().kind(), ErrorKind::LockLost);

    settle().await;
    let shown = candidate(&bed, "").leader().await.unwrap().unwrap();
    assert_eq!(shown.token, leader.token());
}

#[tokio::test(start_paused = true)]
async fn the_same_session_leads_again_under_a_larger_token() {
    let bed = Testbed::new();
    let session = bed.session().await;
    let election = candidate(&bed, "a");
    let first = election.campaign(&session).await.unwrap();
    let token = first.token();
    first.resign().await.unwrap();
    let second = election.campaign(&session).await.unwrap();
    assert!(second.token() > token);
    assert_eq!(election.leader().await.unwrap().map(|leader| leader.token), Some(second.token()));
}

#[tokio::test(start_paused = true)]
async fn an_observer_ends_with_the_registry() {
    let bed = Testbed::new();
    let mut observer = candidate(&bed, "").observe();
    observer.next().await;
    bed.client.close().await.unwrap();
    assert_eq!(observer.next().await, None);
}
