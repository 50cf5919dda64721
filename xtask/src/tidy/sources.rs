//! Sizes, names, and words that have no place in sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::Finding;
use crate::command::root;

/// Longer files hold more than one concept.
const LINES_MAX: usize = 400;
/// Names that do not say what is inside.
const VAGUE_NAMES: [&str; 8] = ["utils", "util", "helper", "helpers", "common", "misc", "manager", "mod"];

/// A word that is refused in some sources.
struct Rule {
    /// Given the path and the text of a file.
    applies: fn(&str, &str) -> bool,
    words: &'static [&'static str],
    reason: &'static str,
}

const RULES: [Rule; 4] = [
    Rule {
        applies: |path, _| path.contains("/state_machine") && !path.contains("/tests/") && path.ends_with(".rs"),
        words: &["HashMap", "HashSet", "Instant", "SystemTime", "rand::", "tokio::", "std::fs", "std::net"],
        reason: "the state machine is pure: no clock, no randomness, no task, no I/O, no unordered map",
    },
    Rule {
        applies: |path, _| path.starts_with("registry-raft/src/") && !path.starts_with("registry-raft/src/consensus"),
        words: &["openraft"],
        reason: "openraft is named in the consensus module only",
    },
    Rule {
        applies: |path, text| {
            let test = path.contains("/tests/") || path.starts_with("conformance-tests/");
            // On a paused clock nothing waits: time passes when every task is idle.
            let paused = text.contains("start_paused");
            test && !paused && !path.contains("/fault") && path.ends_with(".rs")
        },
        words: &["sleep("],
        reason: "tests wait for events; only the fault module lets time pass",
    },
    Rule {
        applies: |path, _| path.ends_with(".rs") && !path.starts_with("xtask/src/tidy"),
        words: &["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("],
        reason: "unfinished by its own word",
    },
];

pub(super) fn check() -> Result<Vec<Finding>, String> {
    let ratchet = read_ratchet()?;
    let mut findings = Vec::new();
    for path in tracked_files()? {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        findings.extend(check_name(&path));
        findings.extend(check_words(&path, &text));
        if path.ends_with(".rs") {
            findings.extend(check_length(&path, text.lines().count(), &ratchet));
            findings.extend(check_first_line(&path, &text));
        }
    }
    Ok(findings)
}

fn tracked_files() -> Result<Vec<String>, String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("git ls-files: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// Files that were longer when the limit came, with their length then: it may only shrink.
fn read_ratchet() -> Result<BTreeMap<String, usize>, String> {
    let path = root().join("xtask/long-files.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn check_length(path: &str, lines: usize, ratchet: &BTreeMap<String, usize>) -> Option<Finding> {
    let max = ratchet.get(path).copied().unwrap_or(LINES_MAX);
    (lines > max).then(|| format!("{path}: {lines} lines, at most {max}; split it by concept"))
}

fn check_first_line(path: &str, text: &str) -> Option<Finding> {
    let first = text.lines().next().unwrap_or_default();
    let documented = first.starts_with("//!");
    (!documented).then(|| format!("{path}:1: the first line says what the file is, as a //! sentence"))
}

fn check_name(path: &str) -> Option<Finding> {
    let stem = Path::new(path).file_stem()?.to_str()?;
    let vague = path.ends_with(".rs") && VAGUE_NAMES.contains(&stem);
    vague.then(|| format!("{path}: the name does not say what is inside"))
}

fn check_words(path: &str, text: &str) -> Vec<Finding> {
    let rules = RULES.iter().filter(|rule| (rule.applies)(path, text));
    rules.flat_map(|rule| refused_lines(path, text, rule)).collect()
}

fn refused_lines(path: &str, text: &str, rule: &Rule) -> Vec<Finding> {
    let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.filter_map(|(number, line)| {
        let word = rule.words.iter().find(|word| line.contains(**word))?;
        Some(format!("{path}:{}: {word:?}: {}", number + 1, rule.reason))
    })
    .collect()
}
