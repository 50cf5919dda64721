//! One member: this same program, started again with a configuration file.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use registry_api::Plugins;
use registry_raft::RaftPlugin;
use tokio::signal::unix::{SignalKind, signal};

/// Names the configuration file of a member; without it, the program runs the suite.
pub(crate) const CONFIG_VARIABLE: &str = "REGISTRY_CONFORMANCE_MEMBER";
/// What a member prints when it listens.
pub(crate) const SERVING: &str = "serving";

/// Runs a member until it is asked to stop (SIGTERM) or its parent is gone.
pub(crate) fn run(config: &OsStr) -> ExitCode {
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let served = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            let served = runtime.block_on(serve(config));
            runtime.shutdown_background();
            served
        });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // Nobody may be left to read the reason.
            let _ = writeln!(std::io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: &OsStr) -> Result<(), String> {
    let mut asked_to_stop = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let figment = Figment::from(Toml::file_exact(config)).focus("registry");
    let plugin = RaftPlugin::new();
    let client = Plugins::new().with(plugin.clone()).connect(figment).await.map_err(|error| error.to_string())?;
    let member = plugin.raft().ok_or("no member")?;
    let mut output = std::io::stdout();
    writeln!(output, "{SERVING}").and_then(|()| output.flush()).map_err(|error| error.to_string())?;
    let parent_gone = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    tokio::select! {
        _ = asked_to_stop.recv() => member.shutdown().await,
        reason = member.failed() => return Err(reason),
        _gone = parent_gone => {}
    }
    drop(client);
    Ok(())
}
