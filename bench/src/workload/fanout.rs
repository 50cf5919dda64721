//! W7: subscribers that are told of every change, values included; each with a connection of its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use hdrhistogram::Histogram;
use registry_api::Key;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::keys::connect;
use super::{Path, VALUE_LEN};
use crate::load::{Scene, histogram, record, with_latencies};
use crate::row::Figures;
use crate::store::{Store, Values};
use crate::usage::as_float;
use crate::{Outcome, line};

const ROOT: &str = "/bench/fanout";
/// Updates of one burst, each of another key: no system may tell two of them as one.
const BURST: u64 = 10;
/// How long a burst may take until everybody has it.
const PATIENCE: Duration = Duration::from_secs(20);
const OPENED_AT_ONCE: usize = 32;
/// Subscribers share some histograms.
const HISTOGRAMS: usize = 16;

/// Operations are events at subscribers; the latency is from the call of the put to the event.
pub(super) async fn measure(scene: &Scene<'_>, path: Path, subscribers: usize) -> Outcome<Figures> {
    let root: Key = ROOT.parse().map_err(line)?;
    let arrivals = Arc::new(Arrivals::new()?);
    let mut tasks = JoinSet::new();
    let opened = futures::stream::iter(0..subscribers).map(|_| async {
        let store = connect(scene, path).await?;
        let values = store.subscribe(&root).await?;
        Ok::<_, String>((store, values))
    });
    let opened: Vec<_> = opened.buffer_unordered(OPENED_AT_ONCE).try_collect().await?;
    let mut stores = Vec::new();
    for (number, (store, values)) in opened.into_iter().enumerate() {
        stores.push(store);
        tasks.spawn(listen(values, Arc::clone(&arrivals), number % HISTOGRAMS));
    }
    let writer = connect(scene, path).await?;
    let figures = tokio::select! {
        figures = drive(scene, &*writer, &arrivals, subscribers) => figures,
        Some(ended) = tasks.join_next() => Err(ended.map_err(line)?),
    };
    tasks.shutdown().await;
    futures::future::join_all(stores.iter().chain([&writer]).map(|store| store.close())).await;
    figures
}

async fn drive(scene: &Scene<'_>, writer: &dyn Store, arrivals: &Arrivals, subscribers: usize) -> Outcome<Figures> {
    bursts(writer, arrivals, subscribers, scene.span.warm_up).await?;
    arrivals.recording.store(true, Ordering::SeqCst);
    let (before, fsyncs) = (scene.look(), scene.cluster.fsyncs().await);
    let events = as_float(bursts(writer, arrivals, subscribers, scene.span.measured).await?);
    let (spent, servers) = (before.until(&scene.look()), scene.cluster.processes());
    let flushed = scene.cluster.fsyncs().await.zip(fsyncs).map(|(after, before)| after - before);
    Ok(Figures {
        ops_per_s: Some(events / spent.seconds),
        server_cpu_us_per_op: Some(spent.cpu_us(&servers) / events),
        client_cpu_us_per_op: Some(spent.cpu_us(&[std::process::id()]) / events),
        server_rss_mb: scene.resident_mb(),
        fsyncs_per_op: flushed.map(|flushed| flushed / events),
        foreign_cpu: Some(spent.foreign_share()),
        ..with_latencies(&arrivals.latencies()?)
    })
}

/// Writes bursts for so long, each after everybody has the one before; how many events that were.
async fn bursts(writer: &dyn Store, arrivals: &Arrivals, subscribers: usize, span: Duration) -> Outcome<u64> {
    let start = Instant::now();
    let before = arrivals.count.load(Ordering::SeqCst);
    let mut expected = before;
    while start.elapsed() < span {
        expected += BURST * subscribers as u64;
        let puts = (0..BURST).map(|number| async move {
            let key: Key = format!("{ROOT}/{number}").parse().map_err(line)?;
            let sent = format!("{:0>VALUE_LEN$}", arrivals.base.elapsed().as_micros());
            writer.put(&key, sent.into()).await
        });
        futures::future::try_join_all(puts).await?;
        let told = tokio::time::timeout(PATIENCE, arrivals.reached(expected)).await;
        told.map_err(|_late| {
            let missing = expected.saturating_sub(arrivals.count.load(Ordering::SeqCst));
            format!("{missing} events of a burst were not told one by one within {PATIENCE:?}")
        })?;
    }
    Ok(expected - before)
}

/// What all subscribers together were told.
struct Arrivals {
    base: Instant,
    count: AtomicU64,
    awaited: AtomicU64,
    enough: Notify,
    recording: AtomicBool,
    latencies: Vec<Mutex<Histogram<u64>>>,
}

impl Arrivals {
    fn new() -> Outcome<Self> {
        let latencies = (0..HISTOGRAMS).map(|_| histogram().map(Mutex::new)).collect::<Outcome<_>>()?;
        Ok(Self {
            base: Instant::now(),
            count: AtomicU64::new(0),
            awaited: AtomicU64::new(u64::MAX),
            enough: Notify::new(),
            recording: AtomicBool::new(false),
            latencies,
        })
    }

    /// Notes an event whose value says when it was sent.
    fn note(&self, value: &[u8], place: usize) {
        let sent = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).map(Duration::from_micros);
        if let (Some(sent), true) = (sent, self.recording.load(Ordering::Relaxed)) {
            let latency = self.base.elapsed().saturating_sub(sent);
            if let Some(histogram) = self.latencies.get(place) {
                record(&mut histogram.lock().unwrap_or_else(PoisonError::into_inner), latency);
            }
        }
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 >= self.awaited.load(Ordering::SeqCst) {
            self.enough.notify_one();
        }
    }

    async fn reached(&self, count: u64) {
        self.awaited.store(count, Ordering::SeqCst);
        while self.count.load(Ordering::SeqCst) < count {
            self.enough.notified().await;
        }
    }

    fn latencies(&self) -> Outcome<Histogram<u64>> {
        let mut all = histogram()?;
        for some in &self.latencies {
            all.add(&*some.lock().unwrap_or_else(PoisonError::into_inner)).map_err(line)?;
        }
        Ok(all)
    }
}

/// Takes values until the subscription fails; how it did.
async fn listen(mut values: Values, arrivals: Arc<Arrivals>, place: usize) -> String {
    loop {
        match values.next().await {
            Some(Ok(value)) => arrivals.note(&value, place),
            Some(Err(error)) => return error,
            None => return "a subscription ended".to_owned(),
        }
    }
}
