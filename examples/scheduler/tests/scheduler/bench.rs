//! The bench: starts masters and workers on one store, cuts them off, and waits for what must happen.

use std::sync::Arc;
use std::time::Duration;

use registry_api::memory::{MemoryOptions, MemoryRegistry, MemoryStore, Reachability};
use registry_api::{ClientOptions, Key, Registry, RegistryClient, Scope, SubscribeFrom};
use scheduler::cluster::{Connected, ElectedInsight};
use scheduler::config::{OnRegistryLost, SchedulerSettings};
use scheduler::duration::Span;
use scheduler::exit::Failure;
use scheduler::name::Name;
use scheduler::overview::{AttemptView, InstanceView, Reader, TaskView, WorkerView};
use scheduler::state::{Assignment, AssignmentState, Role, encode, keys};
use scheduler::workflow::Workflow;
use scheduler::{master, submit, worker};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long anything may take on a busy machine before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How soon the dead are noticed.
pub(crate) const TTL: Duration = Duration::from_millis(900);

/// A store, and a client that is never cut off.
pub(crate) struct Bench {
    store: MemoryStore,
    pub(crate) observer: Connected,
    pub(crate) directory: tempfile::TempDir,
}

/// A pipe that commands write to as to a file, so that every line is an event.
pub(crate) struct Log {
    path: String,
    lines: watch::Receiver<Vec<String>>,
    _reader: AbortOnDropHandle<()>,
}

/// A running master or worker.
pub(crate) struct Process {
    pub(crate) registry: Arc<MemoryRegistry>,
    pub(crate) connected: Connected,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Failure>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let options = MemoryOptions { request_timeout: Duration::from_millis(500), ..MemoryOptions::default() };
        let store = MemoryStore::with_options(options);
        let (_, observer) = connect(&store, "observer", &SchedulerSettings::default());
        Self { store, observer, directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn master(&self, name: &str) -> Process {
        self.master_with(name, |_| {})
    }

    pub(crate) fn master_with(&self, name: &str, change: impl FnOnce(&mut SchedulerSettings)) -> Process {
        let (registry, connected) = connect(&self.store, name, &settings(change));
        let stop = CancellationToken::new();
        let (role, token) = (connected.clone(), stop.clone());
        let task = tokio::spawn(async move { master::run(&role, &token).await });
        Process { registry, connected, stop, task }
    }

    pub(crate) fn worker(&self, name: &str) -> Process {
        self.worker_with(name, |_| {})
    }

    pub(crate) fn worker_with(&self, name: &str, change: impl FnOnce(&mut SchedulerSettings)) -> Process {
        let (registry, connected) = connect(&self.store, name, &settings(change));
        let stop = CancellationToken::new();
        let (role, token) = (connected.clone(), stop.clone());
        let task = tokio::spawn(async move { worker::run(&role, &token).await });
        Process { registry, connected, stop, task }
    }

    /// Submits a workflow whose tasks are these lines of TOML each: `id`, `command` and so on.
    pub(crate) async fn submit(&self, tasks: &[&str]) -> Name {
        let text: String = tasks.iter().map(|task| format!("[[task]]\n{task}\n")).collect();
        let workflow = Workflow::parse(&format!("name = 'w'\n{text}")).unwrap();
        submit::submit(&self.observer.client, &workflow).await.unwrap()
    }

    /// Offers an attempt to a worker, as a master does.
    pub(crate) async fn offer(&self, worker: &WorkerView, task: &str, command: &str) {
        let text = format!("name = 'w'\n[[task]]\nid = '{task}'\ncommand = '{command}'");
        let mut workflow = Workflow::parse(&text).unwrap();
        let key = keys::presence(Role::Worker, &worker.name);
        let session = self.observer.client.get(&key).await.unwrap().unwrap().owner.unwrap();
        let assignment = Assignment {
            instance: "w-1".parse().unwrap(),
            workflow: workflow.name,
            task: workflow.tasks.remove(0),
            attempt: 1,
            session,
            state: AssignmentState::Offered,
        };
        let key = keys::assignment(&worker.name, &assignment.instance, &assignment.task.id);
        self.observer.client.create(&key, encode(&assignment)).await.unwrap();
    }

    /// Waits until so many masters are there, and all of them know it: the split does not change any more.
    pub(crate) async fn slots(&self, count: usize) {
        self.eventually("everybody sees all slots", async |reader| {
            let members = reader.members().await.unwrap();
            let all = members.len() == count && members.iter().all(|member| member.report.slots == count);
            all.then_some(())
        })
        .await;
    }

    /// Waits until the instance has ended, and returns it.
    pub(crate) async fn ended(&self, instance: &Name) -> InstanceView {
        self.until("the instance ends", instance, |view| view.ended_at.is_some()).await
    }

    /// Waits until an instance is as it must be.
    pub(crate) async fn until(
        &self,
        what: &str,
        instance: &Name,
        is_so: impl Fn(&InstanceView) -> bool,
    ) -> InstanceView {
        self.eventually(what, async |reader| reader.instance(instance).await.unwrap().filter(|view| is_so(view))).await
    }

    /// Waits until something that is looked for after every change in the store is there.
    pub(crate) async fn eventually<T>(&self, what: &str, mut look: impl AsyncFnMut(&Reader<'_>) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let everything = Scope::Tree("/scheduler".parse().unwrap());
        let mut changes = self.store.client().subscribe(&everything, SubscribeFrom::Snapshot).await.unwrap();
        loop {
            if let Some(found) = look(&Reader::new(&self.observer)).await {
                return found;
            }
            let change = tokio::time::timeout_at(deadline, changes.next()).await;
            assert!(matches!(change, Ok(Some(Ok(_)))), "waited for: {what}; instead: {change:?}");
        }
    }

    /// Cuts everybody off, or nobody.
    pub(crate) fn set_reachable(&self, reachability: Reachability) {
        self.store.set_reachable(reachability);
    }

    /// A log that commands write lines to.
    pub(crate) async fn log(&self) -> Log {
        Log::open(self.file("log")).await
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// What a scope holds now.
    pub(crate) async fn keys_below(&self, key: Key) -> Vec<String> {
        let listing = self.observer.client.list(&Scope::Tree(key)).await.unwrap();
        listing.keys().map(ToString::to_string).collect()
    }
}

impl Log {
    async fn open(path: String) -> Self {
        assert!(Command::new("mkfifo").arg(&path).status().await.unwrap().success());
        // Open for writing as well: the pipe does not end when a command does.
        let pipe = pipe::OpenOptions::new().read_write(true).open_receiver(&path).unwrap();
        let (sender, lines) = watch::channel(Vec::new());
        let reader = tokio::spawn(async move {
            let mut pipe = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = pipe.next_line().await {
                sender.send_modify(|lines| lines.push(line));
            }
        });
        Self { path, lines, _reader: AbortOnDropHandle::new(reader) }
    }

    /// Waits for a line.
    pub(crate) async fn line(&self, wanted: &str) {
        let mut lines = self.lines.clone();
        let found = lines.wait_for(|lines| lines.iter().any(|line| line == wanted));
        tokio::time::timeout(PATIENCE, found).await.expect("the line comes in time").unwrap();
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }
}

impl std::fmt::Display for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.path)
    }
}

impl Process {
    /// As if the machine had lost its power: it does not say goodbye, and its commands end.
    pub(crate) fn kill(self) {
        self.registry.set_reachable(Reachability::Refusing);
        self.task.abort();
    }

    pub(crate) fn cut(&self) {
        self.registry.set_reachable(Reachability::Refusing);
    }

    pub(crate) fn mend(&self) {
        self.registry.set_reachable(Reachability::Reachable);
    }

    /// As SIGTERM does.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        self.stop.cancel();
        self.end().await
    }

    /// Waits until it ends by itself.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        tokio::time::timeout(PATIENCE, self.task).await.expect("it ends in time").expect("it does not panic")
    }
}

fn settings(change: impl FnOnce(&mut SchedulerSettings)) -> SchedulerSettings {
    let mut settings = SchedulerSettings { report_interval: Span(Duration::from_millis(100)), ..Default::default() };
    settings.worker.capacity = 4;
    settings.worker.stop_grace = Span(Duration::from_millis(300));
    settings.on_registry_lost = OnRegistryLost::Wait;
    change(&mut settings);
    settings
}

fn connect(store: &MemoryStore, name: &str, settings: &SchedulerSettings) -> (Arc<MemoryRegistry>, Connected) {
    let registry = store.client();
    let options = ClientOptions { session_ttl: TTL, ..ClientOptions::default() };
    let client = RegistryClient::with_options(registry.clone(), options).namespaced(&"/scheduler".parse().unwrap());
    let name: Name = name.parse().unwrap();
    let insight = Arc::new(ElectedInsight::new(&client, &name));
    let connected = Connected { client, insight, name, settings: settings.clone() };
    (registry, connected)
}

pub(crate) fn task<'a>(instance: &'a InstanceView, id: &str) -> &'a TaskView {
    instance.tasks.as_ref().unwrap().iter().find(|task| task.id.as_str() == id).unwrap()
}

pub(crate) fn attempt<'a>(instance: &'a InstanceView, task_id: &str, number: u32) -> &'a AttemptView {
    task(instance, task_id).attempts.iter().find(|attempt| attempt.number == number).unwrap()
}

/// Every task succeeded by exactly one accepted result.
pub(crate) fn assert_accepted_once(instance: &InstanceView) {
    assert_eq!(instance.state, "succeeded", "{instance:#?}");
    for task in instance.tasks.as_ref().unwrap() {
        let succeeded = task.attempts.iter().filter(|attempt| attempt.state == "succeeded").count();
        assert_eq!((task.state, task.accepted, succeeded), ("succeeded", 1, 1), "{task:#?}");
    }
}
