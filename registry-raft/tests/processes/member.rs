//! One member: this same program, started again with a configuration file.

use std::ffi::OsStr;
use std::io::Write as _;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use registry_api::Plugins;
use registry_raft::RaftPlugin;
use tokio::signal::unix::{SignalKind, signal};

/// Names the configuration file of a member; without it, the program runs the tests.
pub(crate) const CONFIG_VARIABLE: &str = "REGISTRY_TEST_MEMBER_CONFIG";

/// Runs a member until it is asked to stop; prints `serving` once it listens.
pub(crate) fn run(config: &OsStr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(serve(config));
}

async fn serve(config: &OsStr) {
    let mut asked_to_stop = signal(SignalKind::terminate()).expect("a signal handler");
    let figment = Figment::from(Toml::file_exact(config)).focus("registry");
    let plugin = RaftPlugin::new();
    let client = match Plugins::new().with(plugin.clone()).connect(figment).await {
        Ok(client) => client,
        Err(error) => refuse(&error.to_string()),
    };
    let member = plugin.raft().expect("connected");
    say("serving");
    tokio::select! {
        _ = asked_to_stop.recv() => member.shutdown().await,
        reason = member.failed() => refuse(&reason),
    }
    drop(client);
}

fn say(line: &str) {
    let mut output = std::io::stdout();
    writeln!(output, "{line}").and_then(|()| output.flush()).expect("somebody who reads");
}

fn refuse(reason: &str) -> ! {
    writeln!(std::io::stderr(), "{reason}").expect("somebody who reads");
    std::process::exit(1);
}
