//! Runs the commands that tasks are made of.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a task gives: nothing, or one line that says what went wrong.
pub(crate) type Outcome = Result<(), String>;

/// Prints one line for the person who runs the task.
pub(crate) fn say(line: &str) {
    // A closed terminal is no reason to stop a task.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where cargo builds, seen from the root.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

/// The port after the last one that was given away.
static NEXT_PORT: Mutex<Option<u16>> = Mutex::new(None);

/// Ports on loopback that nobody listens on now, below those that systems give to outgoing connections.
///
/// None is given twice: a server may begin to listen on its port late, as a follower of ZooKeeper does when it leads.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>, String> {
    let mut next = NEXT_PORT.lock().unwrap_or_else(PoisonError::into_inner);
    let first = next.unwrap_or_else(|| 15_000 + u16::try_from(std::process::id() % 9_000).unwrap_or_default());
    let free = (first..30_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let ports: Vec<u16> = free.take(count).collect();
    if ports.len() < count {
        return Err("no free port on 127.0.0.1".to_owned());
    }
    *next = ports.last().map(|last| last + 1).or(*next);
    Ok(ports)
}

/// `cargo` with these arguments, in the root of the workspace.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command to its end, with its output shown, and says how long it took.
pub(crate) fn run(title: &str, command: &mut Command) -> Outcome {
    say(&format!("--- {title}"));
    let start = Instant::now();
    let status = command.status().map_err(|error| format!("{title}: cannot start: {error}"))?;
    if status.success() {
        say(&format!("--- {title}: {:.1} s", start.elapsed().as_secs_f64()));
        Ok(())
    } else {
        Err(format!("{title}: {status}"))
    }
}

/// Lets a moment pass before the next look.
#[expect(clippy::disallowed_methods, reason = "tasks look at other processes from outside; they send no events")]
pub(crate) fn pause(moment: Duration) {
    std::thread::sleep(moment);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_though_nobody_listens_on_it() {
        let (first, second) = (free_ports(3).unwrap(), free_ports(3).unwrap());
        assert_eq!((first.len(), second.len()), (3, 3));
        assert!(first.iter().all(|port| !second.contains(port)), "{first:?} {second:?}");
    }
}
