//! The table of capabilities in the README, generated from what each backend declares and its conformance run confirms.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Finding;
use crate::command::{Outcome, root};

const BEGIN: &str = "<!-- capabilities: begin (cargo xtask fix writes this from docs/capabilities) -->\n";
const END: &str = "<!-- capabilities: end -->\n";
/// The order of the columns; other backends follow by name.
const FIRST: [&str; 3] = ["raft", "zookeeper", "etcd"];

/// One file of `docs/capabilities`: compared with the backend itself by every run of its suite.
#[derive(Debug, Deserialize)]
struct Declaration {
    backend: String,
    capabilities: Vec<Declared>,
}

#[derive(Debug, Deserialize)]
struct Declared {
    capability: String,
    support: String,
    #[serde(default)]
    why: String,
}

/// Finds a table that is not the one of the declarations.
pub(super) fn check() -> Result<Vec<Finding>, String> {
    let text = read(&readme())?;
    let stale = replaced(&text, &table(&declarations()?))? != text;
    let finding = "README.md: the table of capabilities is not that of docs/capabilities; `cargo xtask fix` writes it";
    Ok(stale.then(|| finding.to_owned()).into_iter().collect())
}

/// Writes the table as it is declared now.
pub(crate) fn rewrite() -> Outcome {
    let text = read(&readme())?;
    let current = replaced(&text, &table(&declarations()?))?;
    fs::write(readme(), current).map_err(|error| format!("README.md: {error}"))
}

fn readme() -> PathBuf {
    root().join("README.md")
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn declarations() -> Result<Vec<Declaration>, String> {
    let directory = root().join("docs/capabilities");
    let files = fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut declarations = Vec::new();
    for file in files {
        let path = file.map_err(|error| error.to_string())?.path();
        let declaration: Declaration =
            serde_json::from_str(&read(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        declarations.push(declaration);
    }
    declarations.sort_by_key(|declaration| {
        let place = FIRST.iter().position(|backend| *backend == declaration.backend).unwrap_or(FIRST.len());
        (place, declaration.backend.clone())
    });
    Ok(declarations)
}

/// `text` with `table` between the markers.
fn replaced(text: &str, table: &str) -> Result<String, String> {
    let missing = || format!("README.md: the markers {} and {} are not there", BEGIN.trim(), END.trim());
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// The table, and the limits in words below it.
fn table(declarations: &[Declaration]) -> String {
    let mut text = String::from("| Capability |");
    for declaration in declarations {
        let _ = write!(text, " {} |", declaration.backend);
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(declarations.len()));
    text.push('\n');
    let mut limits = String::new();
    for name in names(declarations) {
        let _ = write!(text, "| {name} |");
        for declaration in declarations {
            let declared = declaration.capabilities.iter().find(|declared| declared.capability == name);
            let _ = write!(text, " {} |", declared.map_or("-", |declared| &declared.support));
            if let Some(Declared { why, .. }) = declared.filter(|declared| !declared.why.is_empty()) {
                let _ = writeln!(limits, "- {}, {name}: {why}", declaration.backend);
            }
        }
        text.push('\n');
    }
    if !limits.is_empty() {
        let _ = write!(text, "\n{limits}");
    }
    text
}

/// Every capability that somebody declares, in the order in which they do.
fn names(declarations: &[Declaration]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for declared in declarations.iter().flat_map(|declaration| &declaration.capabilities) {
        if !names.contains(&declared.capability.as_str()) {
            names.push(&declared.capability);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(backend: &str, support: &str, why: &str) -> Declaration {
        let declared =
            Declared { capability: "atomic listing".to_owned(), support: support.to_owned(), why: why.to_owned() };
        Declaration { backend: backend.to_owned(), capabilities: vec![declared] }
    }

    #[test]
    fn limits_are_told_below_the_table() {
        let table = table(&[declaration("raft", "full", ""), declaration("other", "limited", "one page at a time")]);
        let expected = "| Capability | raft | other |\n|---|---|---|\n| atomic listing | full | limited |\n\
                        \n- other, atomic listing: one page at a time\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        assert_eq!(replaced(&text, "new\n").unwrap(), format!("before\n{BEGIN}new\n{END}after\n"));
        assert!(replaced("no markers", "new\n").is_err());
    }
}
