//! One member of the raft backend in a process of its own.

use std::path::Path;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use registry_api::Plugins;
use registry_raft::RaftPlugin;

use crate::{Outcome, line};

/// Serves until the process is killed, or until whoever started it is gone.
pub(crate) async fn run(config: &Path) -> Outcome<()> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    let figment = Figment::from(Toml::file_exact(config)).focus("registry");
    let plugin = RaftPlugin::new();
    let _client = Plugins::new().with(plugin.clone()).connect(figment).await.map_err(line)?;
    let member = plugin.raft().ok_or("the configuration is not that of a member")?;
    Err(member.failed().await)
}
