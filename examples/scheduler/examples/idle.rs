//! Holds sessions open and does nothing else, so that somebody else can measure what that costs the servers.
//!
//! `idle <config.toml> <sessions>`: prints one line with the ttl that was granted when all are open, and ends when its input does. `cargo xtask bench
//! --only idle` runs it on every backend; with no sessions and the configuration of a member, it is just that member.

use std::io::Read as _;

use registry_api::Session;
use scheduler::backends;
use scheduler::cli::Connect;
use scheduler::config::{Config, Process};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let config = arguments.next().ok_or("the first argument is a configuration file")?;
    let count: usize = arguments.next().ok_or("the second argument is a number of sessions")?.parse()?;
    let connect = Connect { config: Some(config.into()), ..Connect::default() };
    let config = Config::load(Process::Command, &connect)?;
    let connected = backends::connect(&config).await?;
    let mut sessions: Vec<Session> = Vec::new();
    while sessions.len() < count {
        sessions.push(connected.client.open_session(connected.client.session_options()).await?);
    }
    let granted = sessions.first().map_or_else(|| "nothing".to_owned(), |session| format!("{:?}", session.ttl()));
    tell(&granted);
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    let ended = sessions.iter().filter(|session| !session.is_alive()).count();
    if ended > 0 { Err(format!("{ended} of {count} sessions ended while they were idle").into()) } else { Ok(()) }
}

#[expect(clippy::print_stdout, reason = "whoever started this waits for the line")]
fn tell(line: &str) {
    println!("{line}");
}
