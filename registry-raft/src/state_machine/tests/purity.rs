//! The state machine's sources name nothing that could differ between two members.

use std::path::Path;

const FORBIDDEN: [&str; 9] =
    ["HashMap", "HashSet", "Instant", "SystemTime", "rand::", "RandomState", "std::fs", "std::net", "tokio"];

fn sources(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("tests") {
                sources(&path, found);
            }
        } else if !path.ends_with("tests.rs") {
            found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn the_state_machine_has_no_clock_no_randomness_and_no_unordered_map() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found =
        vec![("state_machine.rs".to_owned(), std::fs::read_to_string(root.join("state_machine.rs")).unwrap())];
    sources(&root.join("state_machine"), &mut found);
    sources(&root.join("convert"), &mut found);
    assert!(found.len() > 15, "the sources were not found");
    for (file, source) in found {
        for word in FORBIDDEN {
            assert!(!source.contains(word), "{file} names {word}");
        }
    }
}
