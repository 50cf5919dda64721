//! Runs commands inside of containers.

use futures::StreamExt as _;
use testcontainers::bollard::Docker;
use testcontainers::bollard::container::LogOutput;
use testcontainers::bollard::exec::StartExecResults;
use testcontainers::bollard::models::ExecConfig;

use crate::{Broken, Outcome};

/// Runs a command in the container with this id until it ends, and gives what it prints.
///
/// # Errors
///
/// When it ends with anything but 0, with what it said.
pub(super) async fn run(docker: &Docker, container: &str, command: &[&str]) -> Outcome<String> {
    let config = ExecConfig {
        cmd: Some(command.iter().copied().map(str::to_owned).collect()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    };
    let id = docker.create_exec(container, config).await?.id;
    let StartExecResults::Attached { mut output, input } = docker.start_exec(&id, None).await? else {
        return Err(Broken::harness(format!("{command:?} gives no output")));
    };
    let (mut told, mut complaints) = (String::new(), String::new());
    // The end of the output is the end of the command.
    while let Some(piece) = output.next().await {
        let piece = piece?;
        let side = if matches!(piece, LogOutput::StdErr { .. }) { &mut complaints } else { &mut told };
        side.push_str(&String::from_utf8_lossy(&piece.into_bytes()));
    }
    drop((input, output));
    match docker.inspect_exec(&id).await?.exit_code {
        Some(0) => Ok(told),
        code => Err(Broken::harness(format!("{command:?} ends with {code:?}: {told}{complaints}"))),
    }
}
