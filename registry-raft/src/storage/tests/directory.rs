//! Whose data a directory holds is checked before it is used, and each refusal says in one line what to do.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::*;

fn refusal(path: &Path, identity: Identity, opening: Opening) -> String {
    let refused = Storage::open(path, identity, opening, small()).expect_err("refused").to_string();
    assert!(!refused.contains('\n'), "one line: {refused}");
    refused
}

fn created(path: &Path) {
    let options = StorageOptions { incarnation: 0xABC, ..small() };
    drop(Storage::open(path, IDENTITY, Opening::CreateNew, options).expect("created"));
}

#[test]
fn a_new_directory_and_its_files_are_private() {
    let parent = tempfile::tempdir().expect("a directory");
    let path = parent.path().join("a/b");

    created(&path);

    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).expect("listed") {
        let file = entry.expect("an entry").path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn the_incarnation_of_the_first_start_stays() {
    let parent = tempfile::tempdir().expect("a directory");
    created(parent.path());

    let options = StorageOptions { incarnation: 0xDEF, ..small() };
    let storage = Storage::open(parent.path(), IDENTITY, Opening::OpenExisting, options).expect("opens");

    assert_eq!(storage.incarnation(), 0xABC);
}

#[test]
fn data_of_another_member_or_cluster_is_refused_naming_both() {
    let parent = tempfile::tempdir().expect("a directory");
    created(parent.path());

    let member = refusal(parent.path(), Identity { node: 8, ..IDENTITY }, Opening::CreateOrOpen);
    let cluster = refusal(parent.path(), Identity { cluster: 0xBEEF, ..IDENTITY }, Opening::CreateOrOpen);

    assert!(member.contains("member 7") && member.contains("member 8"), "{member}");
    assert!(cluster.contains("c0ffee") && cluster.contains("beef"), "{cluster}");
}

#[test]
fn a_directory_in_use_is_refused() {
    let parent = tempfile::tempdir().expect("a directory");
    let storage = Storage::open(parent.path(), IDENTITY, Opening::CreateOrOpen, small()).expect("opens");

    let refused = refusal(parent.path(), IDENTITY, Opening::CreateOrOpen);
    drop(storage);

    assert!(refused.contains("in use by another process"), "{refused}");
    Storage::open(parent.path(), IDENTITY, Opening::CreateOrOpen, small()).expect("free again");
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let parent = tempfile::tempdir().expect("a directory");
    fs::set_permissions(parent.path(), Permissions::from_mode(0o770)).expect("changed");

    let refused = refusal(parent.path(), IDENTITY, Opening::CreateOrOpen);

    assert!(refused.contains("chmod 700"), "{refused}");
}

#[test]
fn a_directory_with_other_files_is_refused_and_left_alone() {
    let parent = tempfile::tempdir().expect("a directory");
    fs::write(parent.path().join("letter.txt"), "dear").expect("written");

    let refused = refusal(parent.path(), IDENTITY, Opening::CreateOrOpen);

    assert!(refused.contains("letter.txt"), "{refused}");
    assert_eq!(fs::read(parent.path().join("letter.txt")).expect("still there"), b"dear");
}

#[test]
fn a_path_that_is_not_a_directory_is_refused() {
    let parent = tempfile::tempdir().expect("a directory");
    let file = parent.path().join("file");
    fs::write(&file, "").expect("written");

    let refused = refusal(&file, IDENTITY, Opening::CreateOrOpen);

    assert!(refused.contains("is not a directory"), "{refused}");
}

#[test]
fn a_member_with_data_does_not_start_empty() {
    let parent = tempfile::tempdir().expect("a directory");

    let missing = refusal(&parent.path().join("nowhere"), IDENTITY, Opening::OpenExisting);
    let empty = refusal(parent.path(), IDENTITY, Opening::OpenExisting);
    created(parent.path());
    for entry in fs::read_dir(parent.path()).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            fs::remove_file(path).expect("removed");
        }
    }
    let lost = refusal(parent.path(), IDENTITY, Opening::CreateOrOpen);

    assert!(missing.contains("right disk") && empty.contains("right disk"), "{missing} {empty}");
    assert!(lost.contains("lost its log"), "{lost}");
}

#[test]
fn a_member_that_must_start_empty_refuses_data() {
    let parent = tempfile::tempdir().expect("a directory");
    created(parent.path());

    let refused = refusal(parent.path(), IDENTITY, Opening::CreateNew);

    assert!(refused.contains("was to start empty"), "{refused}");
}

#[test]
fn a_newer_format_is_refused_naming_both_versions() {
    let parent = tempfile::tempdir().expect("a directory");
    created(parent.path());
    let stamp = parent.path().join("identity");
    let text = fs::read_to_string(&stamp).expect("read").replace("format 1", "format 2");
    let (content, _) = text.rsplit_once("checksum").expect("a checksum");
    let checksum = crc32c::crc32c(content.as_bytes());
    fs::write(&stamp, format!("{content}checksum {checksum:08x}\n")).expect("written");

    let refused = refusal(parent.path(), IDENTITY, Opening::CreateOrOpen);

    assert!(refused.contains("format 2") && refused.contains("knows 1"), "{refused}");
}

#[test]
fn a_link_in_place_of_a_file_is_not_followed() {
    let parent = tempfile::tempdir().expect("a directory");
    let (path, target) = (parent.path().join("data"), parent.path().join("target"));
    created(&path);
    fs::rename(path.join("identity"), &target).expect("moved");
    std::os::unix::fs::symlink(&target, path.join("identity")).expect("linked");

    assert!(Storage::open(&path, IDENTITY, Opening::CreateOrOpen, small()).is_err());
}
