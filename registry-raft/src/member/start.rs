//! The start of a member: each thing that can be wrong is one line for its operator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use registry_api::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Member;
use super::applied::Applied;
use super::clock::BootClock;
use super::grants::Grants;
use super::health::Health;
use super::metrics::{self, Meters};
use super::observer::Observer;
use super::peers::Leaders;
use super::places::Places;
use super::proposals::{Batcher, Proposals};
use super::quorum::{LateQuorum, Quorum};
use super::reads::{IndexAsker, LeaderIndex, Reads};
use super::runtime::OwnRuntime;
use super::server;
use super::service::Service;
use super::sessions::Sessions;
use super::settings::{DataPlace, MemberSettings, configuration, internal};
use super::view::ViewKeeper;
use super::watches::Watches;
use crate::boundary::{MemberView, Standing};
use crate::client::{Caller, ClientTiming, Group, Links, Target};
use crate::consensus::{ClusterId, Consensus, ConsensusSetup, Identity, StartError, TcpDialer};
use crate::storage::{self, Opening, Storage, StorageError, StorageOptions};

impl Member {
    /// Starts a member: opens its data, binds its port, takes part in the group. Returns before there is a leader.
    ///
    /// # Errors
    ///
    /// Configuration (an address that is taken, a directory that is not this member's, members that are no group) or
    /// internal (damaged data): one line that says what is wrong and what to do.
    pub(crate) async fn start(settings: MemberSettings) -> Result<Self, Error> {
        let failed = |error| internal(format!("the runtime of the member: {error}"));
        let runtime = OwnRuntime::start().map_err(failed)?;
        runtime.hand_to(|runtime| Self::begin(settings, runtime)).await.map_err(failed)?
    }

    /// Starts a member on this runtime, which is that of the caller too.
    async fn begin(settings: MemberSettings, runtime: OwnRuntime) -> Result<Self, Error> {
        let listener = server::bind(&settings.listen, settings.exposure).await?;
        let address = listener.local_addr().map_err(|error| configuration(error.to_string()))?;
        let members = with_own_port(&settings, address)?;
        let storage = open_storage(&settings).await?;
        let links = links(&settings, &members);
        // Before the first metric: those that are looked up earlier go nowhere.
        metrics::install();
        let meters = Arc::new(Meters::new(settings.node));
        let quorum = Arc::new(LateQuorum::new());
        let parts = Parts::new(&settings, &members, &quorum, &links, &meters);
        let setup = ConsensusSetup {
            identity: identity(&settings),
            members,
            storage,
            timing: settings.timing,
            compaction: settings.compaction,
            observer: Arc::clone(&parts.observer) as _,
            dialer: Arc::new(TcpDialer),
        };
        let consensus = Consensus::start(setup).await.map_err(start_error)?;
        quorum.set(consensus.clone());
        Ok(parts.run(consensus, listener, address, links, runtime))
    }
}

/// Everything that is made before consensus starts, because consensus tells it what is applied.
struct Parts {
    service: Arc<Service>,
    observer: Arc<Observer>,
    batcher: Batcher,
    asker: IndexAsker,
    keeper: ViewKeeper,
    view: watch::Sender<MemberView>,
}

impl Parts {
    fn new(
        settings: &MemberSettings,
        members: &BTreeMap<u64, String>,
        quorum: &Arc<LateQuorum>,
        links: &Links,
        meters: &Arc<Meters>,
    ) -> Self {
        let quorum: Arc<dyn Quorum> = Arc::clone(quorum) as _;
        let meters = || Arc::clone(meters);
        let applied = Arc::new(Applied::new(quorum.state().revision()));
        let (proposals, batcher) = Proposals::new(Arc::clone(&quorum), meters());
        let leaders = Leaders { own: settings.node, quorum: Arc::clone(&quorum), links: links.clone() };
        let (leader, asker) = LeaderIndex::new(Arc::new(leaders));
        let clock = Arc::new(BootClock);
        let sessions = Arc::new(Sessions::new(settings.node, clock, Arc::clone(&quorum), meters()));
        let watches = Arc::new(Watches::new(Arc::clone(&quorum), meters()));
        let grants = Arc::new(Grants::new(Arc::clone(&quorum), Arc::clone(&applied), meters()));
        let view = watch::Sender::new(MemberView {
            standing: Standing::Serving,
            cluster: settings.cluster.clone(),
            member: settings.node,
            leader: None,
            members: Arc::new(members.clone()),
        });
        let keeper =
            ViewKeeper { quorum: Arc::clone(&quorum), leader: leader.clone(), meters: meters(), view: view.clone() };
        let observer = Arc::new(Observer {
            applied: Arc::clone(&applied),
            sessions: Arc::clone(&sessions),
            watches: Arc::clone(&watches),
            grants: Arc::clone(&grants),
            meters: meters(),
        });
        let service = Arc::new(Service {
            cluster: settings.cluster.clone(),
            member: settings.node,
            reads: Reads::new(Arc::clone(&quorum), Arc::clone(&applied), leader, meters()),
            quorum,
            applied,
            proposals,
            sessions,
            watches,
            grants,
            meters: meters(),
            places: Places::of_process(),
            view: view.subscribe(),
            leaving: CancellationToken::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            local_tasks: TaskTracker::new(),
        });
        Self { service, observer, batcher, asker, keeper, view }
    }

    /// Starts the tasks, and the server last.
    fn run(
        self,
        consensus: Consensus,
        listener: TcpListener,
        address: SocketAddr,
        links: Links,
        runtime: OwnRuntime,
    ) -> Member {
        let Self { service, batcher, asker, keeper, view, observer: _ } = self;
        let tasks = TaskTracker::new();
        let stop = &service.stop;
        tasks.spawn(stop.clone().run_until_cancelled_owned(batcher.run()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(asker.run()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(keeper.run()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(metrics::keep_up()));
        tasks.spawn(Arc::clone(&service.sessions).run(stop.clone()));
        let (failed, failure) = watch::channel(None);
        tasks.spawn(stop.clone().run_until_cancelled_owned(watch_over(
            consensus.clone(),
            Arc::clone(&service),
            failed,
        )));
        let closing = stop.child_token();
        let health = Arc::new(Health::new(failure.clone(), service.view.clone()));
        let server = server::serve(listener, Arc::clone(&service), consensus.routes(), health, closing.clone());
        tracing::info!(member = service.member, cluster = service.cluster, %address, "member started");
        Member {
            node: service.member,
            address,
            consensus,
            links,
            view,
            failure,
            tasks,
            server: Mutex::new(Some(server)),
            closing,
            _stop_on_drop: service.stop.clone().drop_guard(),
            service,
            _runtime: runtime,
        }
    }
}

/// A member whose consensus or storage failed answers nothing any more: clients go elsewhere.
async fn watch_over(consensus: Consensus, service: Arc<Service>, failed: watch::Sender<Option<String>>) {
    let reason = consensus.fatal().await;
    tracing::error!(member = service.member, reason, "the member has failed");
    failed.send_replace(Some(reason));
    service.leaving.cancel();
    // The sender stays until the member is stopped, so that whoever asks later learns of it too.
    std::future::pending::<()>().await;
}

fn identity(settings: &MemberSettings) -> Identity {
    Identity { cluster: ClusterId::of_name(&settings.cluster), node: settings.node }
}

/// The members, with the port that was really bound where the settings left it open.
fn with_own_port(settings: &MemberSettings, address: SocketAddr) -> Result<BTreeMap<u64, String>, Error> {
    let mut members = settings.members.clone();
    let Some(own) = members.get_mut(&settings.node) else {
        let known: Vec<_> = members.keys().map(u64::to_string).collect();
        return Err(configuration(format!(
            "node = {} is not among the members ({}): add it, or correct the number",
            settings.node,
            known.join(", ")
        )));
    };
    if let Some(host) = own.strip_suffix(":0") {
        *own = format!("{host}:{}", address.port());
    }
    Ok(members)
}

async fn open_storage(settings: &MemberSettings) -> Result<Storage, Error> {
    let identity = identity(settings);
    let identity = storage::Identity { cluster: identity.cluster.to_u128(), node: identity.node };
    let data = settings.data.clone();
    let opened = tokio::task::spawn_blocking(move || match data {
        DataPlace::Memory => Storage::memory(),
        DataPlace::Directory(path) => {
            let options = StorageOptions { incarnation: rand::random(), ..StorageOptions::default() };
            Storage::open(&path, identity, Opening::CreateOrOpen, options)
        }
    });
    match opened.await {
        Ok(opened) => opened.map_err(|error| storage_error(settings, &error)),
        Err(error) => Err(internal(format!("the data could not be opened: {error}"))),
    }
}

fn storage_error(settings: &MemberSettings, error: &StorageError) -> Error {
    let place = match &settings.data {
        DataPlace::Memory => "memory".to_owned(),
        DataPlace::Directory(path) => format!("data_dir = {:?}", path.display().to_string()),
    };
    let message = format!("{place}: {error}");
    match error {
        StorageError::Damaged { .. } => internal(message),
        _ => configuration(message),
    }
}

fn start_error(error: StartError) -> Error {
    match error {
        StartError::Setup(_) => configuration(error.to_string()),
        StartError::Storage(_) | StartError::Core(_) => internal(error.to_string()),
    }
}

/// The connections over which this member asks others.
fn links(settings: &MemberSettings, members: &BTreeMap<u64, String>) -> Links {
    let targets = members.iter().map(|(&id, address)| Target { id, address: address.clone() }).collect();
    let group = Arc::new(Group::new(settings.cluster.clone(), targets));
    let caller = Caller { label: format!("member {}", settings.node), member: settings.node };
    Links::new(group, caller, ClientTiming::default())
}
