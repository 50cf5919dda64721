//! The documents that name cases and saboteurs name those of the suite.

use std::fmt::Write as _;
use std::path::Path;

use conformance_tests::{Case, Guarantee, all_cases, saboteur};

const BEGIN: &str = "<!-- cases: begin -->\n";
const END: &str = "<!-- cases: end -->\n";

fn line(case: &Case) -> String {
    let missing = case.what_is_missing().map(|what| format!(" (missing: {what})")).unwrap_or_default();
    format!("- `{}`{missing}\n", case.name())
}

/// The list as the suite has it.
fn list() -> String {
    let cases = all_cases();
    let mut text = String::new();
    for guarantee in Guarantee::ALL {
        let of_it: String = cases.iter().filter(|case| case.guarantees().contains(&guarantee)).map(line).collect();
        let none = if of_it.is_empty() { "- none yet\n" } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n### {guarantee}: {}\n\n{of_it}{none}", guarantee.promise());
    }
    text.push('\n');
    text
}

#[test]
fn the_cases_of_each_guarantee_are_the_documented_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guarantees.md");
    let document = std::fs::read_to_string(&path).unwrap_or_default();
    let documented = document.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(list, _)| list);
    if documented == Some(&list()) {
        return;
    }
    let current = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guarantees-cases.md");
    let _ = std::fs::write(&current, list());
    panic!("the list in {} is not that of the suite; as it is now: {}", path.display(), current.display());
}

#[test]
fn names_of_cases_and_saboteurs_are_unique_and_known() {
    let mut names: Vec<_> = all_cases().iter().map(Case::name).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "two cases have one name");
    for suspect in saboteur::all() {
        assert!(names.iter().any(|name| name == suspect.case), "{} names no case: {}", suspect.name, suspect.case);
    }
}

/// The last two cells of each row of the table of mistakes: a case, and the saboteur that it catches.
fn mistakes(document: &str) -> Vec<(&str, &str)> {
    let (_, table) = document.split_once("| Mistake | Case | Saboteur |").unwrap_or_default();
    let rows = table.lines().filter(|line| line.contains("::"));
    rows.filter_map(|row| {
        let mut cells = row.rsplit('|').skip(1).map(|cell| cell.trim().trim_matches('`'));
        let (saboteur, case) = (cells.next()?, cells.next()?);
        Some((case, saboteur))
    })
    .collect()
}

#[test]
fn every_documented_mistake_has_a_saboteur_and_the_case_that_catches_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/writing-a-backend.md");
    let document = std::fs::read_to_string(&path).unwrap_or_default();
    let mistakes = mistakes(&document);
    assert!(!mistakes.is_empty(), "{} has no table of mistakes", path.display());
    let suspects = saboteur::all();
    for (case, name) in mistakes {
        let known = suspects.iter().any(|suspect| (suspect.name, suspect.case) == (name, case));
        assert!(known, "no saboteur {name} is caught by {case}");
    }
}
