//! Runs one command in a process group of its own, and ends it when told to, or when its time is up.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::output::Tail;
use crate::state::OUTPUT_LEN_MAX;

/// How long the output is read after the command has ended: something that it started may keep the pipe open for ever.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(300);

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CommandEnd {
    /// By itself.
    Exited(ExitStatus),
    /// It could not be started.
    NotStarted(String),
    /// Its time was up.
    TimedOut,
    /// It was told to stop.
    Stopped,
    /// It was killed, because its attempt is void.
    Killed,
}

/// What ends a command from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Reins {
    /// SIGTERM first, SIGKILL after the grace.
    pub(super) stop: CancellationToken,
    /// SIGKILL at once.
    pub(super) kill: CancellationToken,
}

/// Runs `command` by `sh -c`; returns how it ended, and the end of its output.
///
/// Dropping the future kills the process group.
pub(super) async fn run(
    command: &str,
    env: impl IntoIterator<Item = (String, String)>,
    timeout: Option<Duration>,
    grace: Duration,
    reins: &Reins,
) -> (CommandEnd, String) {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).envs(env);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell.process_group(0).kill_on_drop(true);
    let mut child = match shell.spawn() {
        Ok(child) => child,
        Err(error) => return (CommandEnd::NotStarted(format!("sh cannot be started: {error}")), String::new()),
    };
    let group = Group::of(&child);
    let tail = Arc::new(Tail::new(OUTPUT_LEN_MAX));
    let mut readers = JoinSet::new();
    if let Some(pipe) = child.stdout.take() {
        readers.spawn({
            let tail = tail.clone();
            async move { tail.fill(pipe).await }
        });
    }
    if let Some(pipe) = child.stderr.take() {
        readers.spawn({
            let tail = tail.clone();
            async move { tail.fill(pipe).await }
        });
    }
    let end = wait(&mut child, &group, timeout, grace, reins).await;
    // Whatever the command left behind in its group goes with it.
    group.signal(Signal::KILL);
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    while let Ok(Some(_read)) = tokio::time::timeout_at(deadline, readers.join_next()).await {}
    (end, tail.text())
}

async fn wait(
    child: &mut Child,
    group: &Group,
    timeout: Option<Duration>,
    grace: Duration,
    reins: &Reins,
) -> CommandEnd {
    let time_up = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        biased;
        () = reins.kill.cancelled() => CommandEnd::Killed,
        status = child.wait() => {
            return status.map_or_else(|error| CommandEnd::NotStarted(error.to_string()), CommandEnd::Exited);
        }
        () = reins.stop.cancelled() => CommandEnd::Stopped,
        () = time_up => CommandEnd::TimedOut,
    };
    if end != CommandEnd::Killed {
        group.signal(Signal::TERM);
        tokio::select! {
            biased;
            () = reins.kill.cancelled() => {}
            _status = child.wait() => return end,
            () = tokio::time::sleep(grace) => {}
        }
    }
    group.signal(Signal::KILL);
    // A process that was sent SIGKILL ends; one that hangs in the kernel is not waited for.
    let _ended = tokio::time::timeout(grace.max(Duration::from_secs(1)), child.wait()).await;
    end
}

/// The process group of a command, killed when this is dropped.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // A group that is gone needs no signal.
            let _gone = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_millis(200);

    async fn sh(command: &str, timeout: Option<Duration>, reins: &Reins) -> (CommandEnd, String) {
        let env = [("GREETING".to_owned(), "hello".to_owned())];
        tokio::time::timeout(Duration::from_secs(20), run(command, env, timeout, GRACE, reins)).await.unwrap()
    }

    #[tokio::test]
    async fn a_command_has_its_environment_and_its_output_is_kept() {
        let (end, output) = sh("echo $GREETING; echo oops >&2; exit 3", None, &Reins::default()).await;
        assert!(matches!(end, CommandEnd::Exited(status) if status.code() == Some(3)));
        assert!(output.contains("hello\n") && output.contains("oops\n"), "{output:?}");
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("alive");
        Command::new("mkfifo").arg(&fifo).status().await.unwrap();
        // The grandchild holds the fifo open for writing as long as it lives: its reader ends with it.
        let reader = Command::new("cat").arg(&fifo).spawn().unwrap().wait_with_output();
        let command = format!("(trap '' TERM; exec sleep 60 > {}) & sleep 60", fifo.display());
        let timeout = Some(Duration::from_millis(300));
        let reins = Reins::default();
        let ((end, _), read) = tokio::join!(sh(&command, timeout, &reins), reader);
        assert!(read.unwrap().status.success());
        assert_eq!(end, CommandEnd::TimedOut);
    }

    #[tokio::test]
    async fn a_void_attempt_is_killed_at_once() {
        let reins = Reins::default();
        reins.kill.cancel();
        let begun = Instant::now();
        let (end, _) = sh("trap '' TERM; sleep 60", None, &reins).await;
        assert_eq!(end, CommandEnd::Killed);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_command_that_ignores_the_request_to_stop_is_killed_after_the_grace() {
        let reins = Reins::default();
        reins.stop.cancel();
        let (end, _) = sh("trap '' TERM; while :; do sleep 1; done", None, &reins).await;
        assert_eq!(end, CommandEnd::Stopped);
    }
}
