//! Callers that call again as soon as they were answered, and what is measured meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::row::Figures;
use crate::usage::{Spent, Usage, as_float, resident_mb};
use crate::{Outcome, line};

/// Latencies above this are counted as this.
const LATENCY_MAX_US: u64 = 120_000_000;

/// One of several that call at the same time.
#[async_trait]
pub(crate) trait Caller: Send + 'static {
    /// Calls once, and tells how long it took: all of the call, or the part that is measured.
    async fn call(&mut self) -> Outcome<Duration>;
}

/// How long is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// Where a run takes place: the servers that are measured, and whoever else was started here.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) cluster: &'a mut Cluster,
    /// Processes of the other systems, which idle meanwhile.
    pub(crate) others: &'a [u32],
    pub(crate) span: Span,
    /// On the disk that everything is measured on.
    pub(crate) directory: &'a Path,
}

impl Scene<'_> {
    /// Looks at everything that was started here, this process included.
    pub(crate) fn look(&self) -> Usage {
        self.look_also_at(&[])
    }

    /// The same with more processes that were started here.
    pub(crate) fn look_also_at(&self, more: &[u32]) -> Usage {
        let processes = [&self.cluster.processes(), self.others, more, &[std::process::id()]].concat();
        Usage::of(&processes, self.directory)
    }

    /// The memory of the largest server.
    pub(crate) fn resident_mb(&self) -> Option<f64> {
        self.cluster.processes().into_iter().filter_map(resident_mb).max_by(f64::total_cmp)
    }

    /// Lets the callers call, and measures.
    pub(crate) async fn run(&self, callers: Vec<Box<dyn Caller>>) -> Outcome<Figures> {
        let progress = Arc::new(Progress::default());
        let mut tasks = JoinSet::new();
        for caller in callers {
            tasks.spawn(call_again(caller, Arc::clone(&progress)));
        }
        let measured = tokio::select! {
            measured = self.measure(&progress) => measured,
            // Nobody ends before the end unless something failed.
            Some(ended) = tasks.join_next() => return Err(failure(ended.map_err(line)?)),
        };
        let mut latencies = histogram()?;
        while let Some(ended) = tasks.join_next().await {
            latencies.add(ended.map_err(line)??).map_err(line)?;
        }
        Ok(self.figures(&latencies, &measured))
    }

    async fn measure(&self, progress: &Progress) -> Measured {
        tokio::time::sleep(self.span.warm_up).await;
        let flushed_before = (self.cluster.fsyncs().await, progress.calls.load(Ordering::Relaxed));
        let before = self.look();
        progress.phase.store(MEASURED, Ordering::SeqCst);
        tokio::time::sleep(self.span.measured).await;
        progress.phase.store(AFTERWARDS, Ordering::SeqCst);
        let spent = before.until(&self.look());
        let flushed_after = (self.cluster.fsyncs().await, progress.calls.load(Ordering::Relaxed));
        let rss = self.resident_mb();
        progress.phase.store(ENDED, Ordering::SeqCst);
        Measured { spent, fsyncs_per_op: per_call(flushed_before, flushed_after), rss }
    }

    fn figures(&self, latencies: &Histogram<u64>, measured: &Measured) -> Figures {
        let Measured { spent, fsyncs_per_op, rss } = measured;
        let calls = as_float(latencies.len());
        let servers = self.cluster.processes();
        let figures = Figures {
            ops_per_s: Some(calls / spent.seconds),
            server_cpu_us_per_op: per(spent.cpu_us(&servers), calls),
            client_cpu_us_per_op: per(spent.cpu_us(&[std::process::id()]), calls),
            server_rss_mb: *rss,
            fsyncs_per_op: *fsyncs_per_op,
            foreign_cpu: Some(spent.foreign_share()),
            ..with_latencies(latencies)
        };
        match spent.disk_bytes.and_then(|bytes| per(bytes, calls)) {
            Some(bytes) => figures.with("disk_bytes_per_op", bytes),
            None => figures,
        }
    }
}

/// The percentiles of these latencies, in microseconds.
pub(crate) fn with_latencies(latencies: &Histogram<u64>) -> Figures {
    let at = |quantile| (!latencies.is_empty()).then(|| as_float(latencies.value_at_quantile(quantile)));
    Figures { p50_us: at(0.5), p99_us: at(0.99), p999_us: at(0.999), ..Figures::default() }
}

/// An empty histogram of microseconds.
pub(crate) fn histogram() -> Outcome<Histogram<u64>> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).map_err(line)
}

/// Counts a latency.
pub(crate) fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LATENCY_MAX_US).max(1));
}

/// How long this took; its failure otherwise.
pub(crate) async fn timed<T>(call: impl Future<Output = Outcome<T>>) -> Outcome<Duration> {
    let start = Instant::now();
    call.await?;
    Ok(start.elapsed())
}

struct Measured {
    spent: Spent,
    fsyncs_per_op: Option<f64>,
    rss: Option<f64>,
}

const MEASURED: u8 = 1;
/// Calls go on while the servers are asked for their counts.
const AFTERWARDS: u8 = 2;
const ENDED: u8 = 3;

#[derive(Debug, Default)]
struct Progress {
    phase: AtomicU8,
    calls: AtomicU64,
}

async fn call_again(mut caller: Box<dyn Caller>, progress: Arc<Progress>) -> Outcome<Histogram<u64>> {
    let mut latencies = histogram()?;
    loop {
        let phase = progress.phase.load(Ordering::SeqCst);
        if phase == ENDED {
            return Ok(latencies);
        }
        let latency = caller.call().await?;
        progress.calls.fetch_add(1, Ordering::Relaxed);
        if phase == MEASURED && progress.phase.load(Ordering::SeqCst) == MEASURED {
            record(&mut latencies, latency);
        }
    }
}

fn failure(ended: Outcome<Histogram<u64>>) -> String {
    ended.err().unwrap_or_else(|| "a caller ended too early".to_owned())
}

fn per(sum: f64, calls: f64) -> Option<f64> {
    (calls > 0.0).then(|| sum / calls)
}

/// How much of a count fell to each call, of two looks at the count and at the calls.
fn per_call(before: (Option<f64>, u64), after: (Option<f64>, u64)) -> Option<f64> {
    per(after.0? - before.0?, as_float(after.1.saturating_sub(before.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_latencies() {
        let mut latencies = histogram().unwrap();
        for milliseconds in 1..=1000 {
            record(&mut latencies, Duration::from_millis(milliseconds));
        }
        let figures = with_latencies(&latencies);
        let near = |found: Option<f64>, expected: f64| (found.unwrap() / expected - 1.0).abs() < 0.002;
        assert!(near(figures.p50_us, 500_000.0), "{figures:?}");
        assert!(near(figures.p99_us, 990_000.0), "{figures:?}");
        assert!(near(figures.p999_us, 999_000.0), "{figures:?}");
        assert_eq!(with_latencies(&histogram().unwrap()).p50_us, None, "no call, no latency");
    }

    #[test]
    fn what_is_not_told_is_not_counted() {
        assert_eq!(per_call((Some(10.0), 100), (Some(30.0), 110)), Some(2.0));
        assert_eq!(per_call((None, 100), (Some(30.0), 110)), None);
        assert_eq!(per_call((Some(10.0), 100), (Some(30.0), 100)), None);
    }
}
