//! Log lines on stderr: written by a thread of their own, so that a slow terminal stops nobody.

use std::io;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::cli::{Log, LogFormat};
use crate::exit::Failure;

/// How many lines may wait to be written; further ones are dropped.
const LINES_BUFFERED_MAX: usize = 16 * 1024;

/// Starts logging. Lines that wait are written when the guard is dropped.
///
/// # Errors
///
/// [`Failure`]: the filter is none, or logging was started before.
pub fn start(log: &Log, default_filter: &str) -> Result<WorkerGuard, Failure> {
    let filter = log.filter.as_deref().unwrap_or(default_filter);
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::configuration(format!("--log {filter:?} is not a filter: {error}")))?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_BUFFERED_MAX)
        .thread_name("log")
        .finish(io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let started = match log.format {
        LogFormat::Text => builder.with_ansi(false).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    started.map_err(|error| Failure::configuration(format!("logging cannot be started: {error}")))?;
    Ok(guard)
}
