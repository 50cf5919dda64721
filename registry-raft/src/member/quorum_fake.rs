//! A quorum of one that does what a test tells it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::boundary::{Failed, MemberView, Standing};
use crate::consensus::ApplyObserver;
use crate::member::applied::Applied;
use crate::member::clock::testing::ManualClock;
use crate::member::grants::Grants;
use crate::member::metrics::Meters;
use crate::member::observer::Observer;
use crate::member::peers::own_read_index;
use crate::member::places::Places;
use crate::member::proposals::Proposals;
use crate::member::quorum::{LeaderHint, Leadership, LogStatus, ProposeError, Quorum};
use crate::member::reads::{AskLeader, LeaderIndex, Reads};
use crate::member::service::Service;
use crate::member::sessions::Sessions;
use crate::member::watches::Watches;
use crate::proto;
use crate::proto::command::Command;
use crate::state_machine::StateMachine;

/// Applies what is proposed at once, or refuses it.
pub(crate) struct FakeQuorum {
    live: Mutex<StateMachine>,
    published: Mutex<Arc<StateMachine>>,
    observer: OnceLock<Arc<dyn ApplyObserver>>,
    leadership: watch::Sender<Leadership>,
    confirmed_until: Mutex<Option<Instant>>,
    refusal: Mutex<Option<ProposeError>>,
    /// How many proposals may be answered; a test that gives none holds them back.
    pub(crate) gate: Semaphore,
    proposed: Mutex<Vec<proto::Batch>>,
}

impl FakeQuorum {
    /// It does not lead, and holds nothing back.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            live: Mutex::new(StateMachine::new()),
            published: Mutex::new(Arc::new(StateMachine::new())),
            observer: OnceLock::new(),
            leadership: watch::Sender::new(Leadership::default()),
            confirmed_until: Mutex::new(None),
            refusal: Mutex::new(None),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            proposed: Mutex::default(),
        })
    }

    /// Leads in this term, is ready, and is confirmed for a long time.
    pub(crate) fn lead(&self, term: u64) {
        self.confirm_until(Some(Instant::now() + std::time::Duration::from_secs(3600)));
        let leader = Some(LeaderHint { id: 1, address: "member-1:7001".to_owned() });
        self.leadership.send_replace(Leadership { term, leader, leading: true, ready: true, fatal: None });
    }

    pub(crate) fn set_leadership(&self, leadership: Leadership) {
        self.leadership.send_replace(leadership);
    }

    pub(crate) fn confirm_until(&self, until: Option<Instant>) {
        *self.confirmed_until.lock().unwrap() = until;
    }

    /// Refuses every proposal with this, or applies them again.
    pub(crate) fn refuse_with(&self, refusal: Option<ProposeError>) {
        *self.refusal.lock().unwrap() = refusal;
    }

    /// The batches that were proposed since the last call.
    pub(crate) fn take_proposed(&self) -> Vec<proto::Batch> {
        std::mem::take(&mut self.proposed.lock().unwrap())
    }

    /// Applies commands as one entry: published first, then observers, as consensus does it.
    pub(crate) fn apply(&self, commands: impl IntoIterator<Item = Command>) -> Vec<proto::Outcome> {
        let proposals = commands.into_iter().map(|command| proto::Proposal {
            command: Some(proto::Command { command: Some(command) }),
            ..proto::Proposal::default()
        });
        self.apply_batch(&proto::Batch { proposals: proposals.collect() })
    }

    fn apply_batch(&self, batch: &proto::Batch) -> Vec<proto::Outcome> {
        let mut live = self.live.lock().unwrap();
        let applied = live.apply(batch).expect("known commands");
        *self.published.lock().unwrap() = Arc::new(live.clone());
        if let Some(observer) = self.observer.get() {
            observer.applied(0, &applied.changes, live.revision());
        }
        applied.outcomes
    }

    /// Applies commands that this member does not see one by one: a snapshot is installed instead.
    pub(crate) fn install(&self, commands: impl IntoIterator<Item = Command>) {
        let mut live = self.live.lock().unwrap();
        for command in commands {
            let command = Some(proto::Command { command: Some(command) });
            let proposals = vec![proto::Proposal { command, ..proto::Proposal::default() }];
            live.apply(&proto::Batch { proposals }).expect("known commands");
        }
        *self.published.lock().unwrap() = Arc::new(live.clone());
        if let Some(observer) = self.observer.get() {
            observer.replaced(0, &live);
        }
    }
}

#[async_trait]
impl Quorum for FakeQuorum {
    async fn propose(&self, batch: Bytes) -> Result<Vec<proto::Outcome>, ProposeError> {
        let batch = proto::Batch::decode(batch).expect("a batch");
        self.proposed.lock().unwrap().push(batch.clone());
        self.gate.acquire().await.expect("never closed").forget();
        if let Some(refusal) = self.refusal.lock().unwrap().clone() {
            return Err(refusal);
        }
        Ok(self.apply_batch(&batch))
    }

    async fn read_index(&self) -> Result<u64, ProposeError> {
        if self.leadership.borrow().leading { Ok(0) } else { Err(ProposeError::NotLeader(None)) }
    }

    async fn wait_applied(&self, _index: u64) {}

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    fn confirmed_until(&self) -> Option<Instant> {
        *self.confirmed_until.lock().unwrap()
    }

    fn state(&self) -> Arc<StateMachine> {
        Arc::clone(&self.published.lock().unwrap())
    }

    fn log_status(&self) -> LogStatus {
        LogStatus::default()
    }

    fn members(&self) -> BTreeMap<u64, String> {
        BTreeMap::new()
    }
}

/// The parts of a member around a fake quorum.
pub(crate) struct Bench {
    pub(crate) quorum: Arc<FakeQuorum>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) applied: Arc<Applied>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) places: Places,
    pub(crate) view: watch::Sender<MemberView>,
}

/// Nobody leads elsewhere.
struct OnlyThis(Arc<dyn Quorum>);

#[async_trait]
impl AskLeader for OnlyThis {
    async fn read_index(&self, leader: &LeaderHint, deadline: Instant) -> Result<u64, Failed> {
        match leader.id {
            1 => own_read_index(&*self.0, deadline).await,
            _other => Err(Failed::NotSent("nobody leads elsewhere".to_owned())),
        }
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let quorum = FakeQuorum::new();
        let seam: Arc<dyn Quorum> = Arc::clone(&quorum) as _;
        let meters = Arc::new(Meters::new(1));
        let clock = Arc::new(ManualClock::default());
        let applied = Arc::new(Applied::new(quorum.state().revision()));
        let sessions = Arc::new(Sessions::new(1, Arc::clone(&clock) as _, Arc::clone(&seam), Arc::clone(&meters)));
        let watches = Arc::new(Watches::new(Arc::clone(&seam), Arc::clone(&meters)));
        let grants = Arc::new(Grants::new(seam, Arc::clone(&applied), Arc::clone(&meters)));
        let observer = Observer {
            applied: Arc::clone(&applied),
            sessions: Arc::clone(&sessions),
            watches: Arc::clone(&watches),
            grants: Arc::clone(&grants),
            meters: Arc::clone(&meters),
        };
        assert!(quorum.observer.set(Arc::new(observer)).is_ok());
        let view = watch::Sender::new(MemberView::default());
        Self { quorum, clock, applied, sessions, watches, grants, meters, places: Places::for_clients(10), view }
    }

    /// A whole service, its tasks running until `stop` of it.
    pub(crate) fn service(&self) -> Arc<Service> {
        let quorum: Arc<dyn Quorum> = Arc::clone(&self.quorum) as _;
        let (proposals, batcher) = Proposals::new(Arc::clone(&quorum), Arc::clone(&self.meters));
        let (leader, asker) = LeaderIndex::new(Arc::new(OnlyThis(Arc::clone(&quorum))));
        let view = MemberView { standing: Standing::Serving, ..MemberView::default() };
        let service = Arc::new(Service {
            cluster: "test".to_owned(),
            member: 1,
            reads: Reads::new(Arc::clone(&quorum), Arc::clone(&self.applied), leader, Arc::clone(&self.meters)),
            quorum,
            applied: Arc::clone(&self.applied),
            proposals,
            sessions: Arc::clone(&self.sessions),
            watches: Arc::clone(&self.watches),
            grants: Arc::clone(&self.grants),
            meters: Arc::clone(&self.meters),
            places: self.places.clone(),
            view: self.view.subscribe(),
            leaving: CancellationToken::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            local_tasks: TaskTracker::new(),
        });
        self.view.send_replace(view);
        service.tasks.spawn(service.stop.clone().run_until_cancelled_owned(batcher.run()));
        service.tasks.spawn(service.stop.clone().run_until_cancelled_owned(asker.run()));
        let sessions = Arc::clone(&self.sessions);
        service.tasks.spawn(sessions.run(service.stop.clone()));
        service
    }

    /// Opens a session, as applied.
    pub(crate) fn open_session(&self, ttl_ms: u64) -> u64 {
        let open = Command::OpenSession(proto::OpenSession { ttl_ms, label: "worker".to_owned() });
        match self.quorum.apply([open]).remove(0).outcome {
            Some(proto::outcome::Outcome::SessionOpened(opened)) => opened.session,
            other => panic!("no session: {other:?}"),
        }
    }
}

/// Puts a persistent key.
pub(crate) fn put(key: &str, value: impl Into<Bytes>) -> Command {
    Command::Put(proto::Put { key: key.to_owned(), value: value.into(), ..proto::Put::default() })
}

/// Deletes one key.
pub(crate) fn delete(key: &str) -> Command {
    let target = Some(proto::Scope { scope: Some(proto::scope::Scope::Key(key.to_owned())) });
    Command::Delete(proto::Delete { target, precondition: None })
}
