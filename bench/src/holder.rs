//! A process full of clients that do nothing but live: each with a session and an ephemeral key.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use futures::StreamExt as _;
use registry_api::{Key, RegistryClient, Session};

use crate::cluster::connect;
use crate::{Outcome, line, print};

/// How many are opened at the same time.
const OPENED_AT_ONCE: usize = 64;
/// Whoever waits for the line waits for this, and then for the seconds that it took.
pub(crate) const READY: &str = "ready ";
/// Below which the ephemeral keys are.
pub(crate) const ROOT: &str = "/bench/sessions";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The configuration of a client.
    config: PathBuf,
    /// How many sessions, each with its key.
    sessions: usize,
    /// How many connections they share; as many as sessions where nothing is said.
    #[arg(long)]
    connections: Option<usize>,
}

pub(crate) async fn run(options: &Options) -> Outcome<()> {
    let config = std::fs::read_to_string(&options.config).map_err(line)?;
    let start = Instant::now();
    let shared = match options.connections {
        Some(count) => futures::future::try_join_all((0..count).map(|_| connect(&config))).await?,
        None => Vec::new(),
    };
    let opened = futures::stream::iter(0..options.sessions)
        .map(|number| open(&config, shared.get(number % shared.len().max(1)), number))
        .buffer_unordered(OPENED_AT_ONCE);
    let opened: Vec<Outcome<Session>> = opened.collect().await;
    let sessions = opened.into_iter().collect::<Outcome<Vec<_>>>()?;
    print(&format!("{READY}{}", start.elapsed().as_secs_f64()));
    // Whoever started this holds its input open for as long as the sessions are wanted.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
        .await
        .map_err(line)?
        .map_err(line)?;
    let ended = sessions.iter().filter(|session| !session.is_alive()).count();
    if ended == 0 { Ok(()) } else { Err(format!("{ended} sessions ended while they were idle")) }
}

async fn open(config: &str, shared: Option<&RegistryClient>, number: usize) -> Outcome<Session> {
    let own = match shared {
        Some(client) => client.clone(),
        None => connect(config).await?,
    };
    let session = own.open_session(own.session_options()).await.map_err(line)?;
    let key: Key = format!("{ROOT}/{number}").parse().map_err(line)?;
    session.put(&key, "here").await.map_err(line)?;
    Ok(session)
}
