//! What is on disk and is not what was written is refused, or cut where nobody was told that it was written.

use proptest::prelude::*;

use super::{
    script::{Held, Step, eventful, open, run},
    *,
};
use crate::storage::{
    SnapshotMeta, SnapshotStore, StorageError,
    frame::{self, Body},
    io::NamedFile,
    segment::{SEGMENT_HEADER, SegmentHeader, segment_id, segment_name},
    sim::{SimDisk, Survives},
    stamp,
};

/// A disk with an eventful past, stopped in order.
fn closed() -> (SimDisk, Held) {
    let disk = SimDisk::default();
    let run = run(&disk, &eventful());
    let held = run.acknowledged.clone();
    run.storage.expect("open").close().expect("closed");
    (disk, held)
}

fn newest_segment(disk: &SimDisk) -> String {
    disk.files().into_iter().rfind(|(name, _)| segment_id(name).is_some()).expect("a segment").0
}

#[test]
fn after_an_orderly_stop_every_flipped_bit_is_refused_or_harmless() {
    let (disk, held) = closed();
    let (mut refused, mut harmless) = (0, 0);
    for (name, length) in disk.files() {
        for byte in 0..length {
            let damaged = disk.after_process_death();
            damaged.flip(&name, byte, (byte % 8) as u8);
            match open(&damaged) {
                Err(error) => {
                    let text = error.to_string();
                    let named = text.contains(&name) || name == stamp::STAMP;
                    assert!(named && !text.contains('\n'), "byte {byte} of {name}: {text}");
                    refused += 1;
                }
                Ok(storage) => {
                    assert_eq!(Held::of(&storage), held, "byte {byte} of {name} was taken for something else");
                    harmless += 1;
                }
            }
        }
    }
    assert!(refused > 10_000 && harmless > 0, "{refused} refused, {harmless} harmless");
}

#[test]
fn after_a_power_loss_a_flipped_bit_costs_at_most_the_last_group() {
    let disk = SimDisk::default();
    let run = run(&disk, &[Step::Vote(3), Step::Append { count: 3, bytes: 50, term: 1 }]);
    let held = run.acknowledged.clone();
    durable(|done| run.storage.as_ref().expect("open").log().append(vec![record(3, 1, "last")], done))
        .expect("appended");
    disk.stop();
    let name = newest_segment(&disk);
    let mut cut = 0;
    for byte in 0..disk.files().iter().find(|(file, _)| *file == name).expect("a segment").1 {
        let damaged = disk.after_power_loss(Survives::Nothing);
        damaged.flip(&name, byte, 3);
        let Ok(storage) = open(&damaged) else { continue };
        let found = Held::of(&storage);
        let whole = found.records.len() == 4;
        assert_eq!(&found.records[..3], &held.records[..], "byte {byte}");
        assert_eq!(found.vote, held.vote, "byte {byte}");
        cut += usize::from(!whole);
    }
    assert!(cut > 0);
}

#[test]
fn an_unreadable_frame_before_one_that_knows_it_was_on_disk_is_refused() {
    let disk = SimDisk::default();
    let storage = open(&disk).expect("opens");
    for index in 0..3 {
        durable(|done| storage.log().append(vec![record(index, 1, "a")], done)).expect("appended");
    }
    disk.stop();
    let damaged = disk.after_power_loss(Survives::Nothing);
    damaged.flip(&newest_segment(&disk), SEGMENT_HEADER as usize + 30, 0);

    let refused = open(&damaged).expect_err("refused");

    assert!(matches!(&refused, StorageError::Damaged { offset: 4096, .. }), "{refused}");
}

#[test]
fn what_survived_behind_a_torn_frame_does_not_come_back_when_its_place_is_written_again() {
    let disk = SimDisk::default();
    let storage = open(&disk).expect("opens");
    let group = (0..3).map(|index| record(index, 1, "same size")).collect();
    durable(|done| storage.log().append(group, done)).expect("appended");
    disk.stop();
    let torn = disk.after_power_loss(Survives::Nothing);
    let length = frame::frame_length(&Body::Record(record(0, 1, "same size")));
    torn.flip(&newest_segment(&disk), SEGMENT_HEADER as usize + length, 0);

    let storage = open(&torn).expect("a torn group is cut");
    assert_eq!(payloads(storage.log()).len(), 1);
    durable(|done| storage.log().append(vec![record(1, 2, "size same")], done)).expect("appended");
    torn.stop();
    let storage = open(&torn.after_power_loss(Survives::Nothing)).expect("opens");

    let found: Vec<(u64, u64)> = payloads(storage.log()).iter().map(|(index, term, _)| (*index, *term)).collect();
    assert_eq!(found, [(0, 1), (1, 2)]);
}

#[test]
fn a_missing_or_shortened_file_is_refused_unless_it_is_the_newest_segment() {
    let (disk, held) = closed();
    let newest = newest_segment(&disk);
    let mut refused = 0;
    for (name, length) in disk.files().into_iter().filter(|(name, _)| *name != newest) {
        let missing = disk.after_process_death();
        missing.take(&name);
        match open(&missing) {
            Err(error) => {
                assert!(!error.to_string().contains('\n'), "{error}");
                refused += 1;
            }
            Ok(storage) => assert_eq!(Held::of(&storage), held, "without {name}"),
        }
        for kept in [0, 1, 100, SEGMENT_HEADER as usize, SEGMENT_HEADER as usize + 40, length - 1] {
            let shortened = disk.after_process_death();
            let bytes = shortened.content(&name);
            shortened.put(&name, &bytes[..kept.min(bytes.len())]);
            let Ok(storage) = open(&shortened) else { continue };
            assert_eq!(Held::of(&storage), held, "{name} with {kept} bytes was taken for something else");
        }
    }
    assert!(refused >= 3, "stamp, snapshot and segments are missed, {refused} were");
}

#[test]
fn an_earlier_life_of_a_recycled_segment_is_never_taken_for_valid() {
    let disk = SimDisk::default();
    let full: Vec<Step> = (0..6).map(|_| Step::Append { count: 6, bytes: 300, term: 1 }).collect();
    let mut run = run(&disk, &full);
    let storage = run.storage.take().expect("open");
    let last = run.acknowledged.records.last().map(|(index, term, _)| at(*index, *term)).expect("a record");
    snapshot(&storage, last, b"state");
    durable(|done| storage.log().purge_to(last, done)).expect("purged");
    let spare = disk.files().into_iter().find(|(name, _)| name.starts_with("spare-")).expect("a spare segment");
    let old = disk.content(&spare.0);
    let newest = newest_segment(&disk);
    storage.close().expect("closed");
    drop(storage);

    // The next segment is the spare one with a new header: its old frames stand where new ones would.
    let head = SegmentHeader::decode(&disk.content(&newest)[..SEGMENT_HEADER as usize], &newest).expect("a header");
    let current = open(&disk.after_process_death()).expect("opens");
    let end = {
        let bytes = disk.content(&newest);
        let mut offset = SEGMENT_HEADER;
        while let Ok(found) = frame::decode(&bytes[offset as usize..], frame::At { segment: head.id, offset }) {
            offset += found.length;
        }
        offset
    };
    let state = current.log().state();
    let header = SegmentHeader {
        id: head.id + 1,
        previous_end: end,
        head: crate::storage::head::Head { purged: state.purged, last: state.last, ..head.head },
        ..head
    };
    let mut bytes = header.encode();
    bytes.extend_from_slice(&old[SEGMENT_HEADER as usize..]);
    let recycled = disk.after_process_death();
    recycled.put(&segment_name(header.id), &bytes);
    let storage = open(&recycled).expect("opens");

    assert_eq!(storage.log().state(), state);
    assert_eq!(payloads(storage.log()), []);
}

#[test]
fn a_damaged_snapshot_is_refused_and_never_taken_for_none() {
    let disk = SimDisk::default();
    let store = SnapshotStore::open(Arc::new(disk.clone())).expect("opens");
    let meta = SnapshotMeta { last: Some(at(3, 1)), membership: Bytes::from("members"), id: "x".to_owned() };
    let mut writer = store.begin(meta).expect("begun");
    writer.write(&[9; 500]).expect("written");
    writer.finish().expect("finished");
    let (name, length) = disk.files().pop().expect("a snapshot");
    for byte in 0..length {
        let damaged = disk.after_process_death();
        damaged.flip(&name, byte, (byte % 8) as u8);

        let error = SnapshotStore::open(Arc::new(damaged)).expect_err("refused").to_string();

        assert!(error.contains(&name), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_never_taken_for_a_frame_and_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        length in any::<u32>(),
    ) {
        let at = frame::At { segment: 1, offset: 4096 };
        if bytes.len() >= frame::FRAME_HEADER {
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
            bytes[8..16].copy_from_slice(&1u64.to_le_bytes());
        }
        prop_assert!(frame::decode(&bytes, at).is_err());
        prop_assert!(SegmentHeader::decode(&bytes, "log").is_err());
        let disk = SimDisk::default();
        disk.put("snapshot-0000000000000001.snap", &bytes);
        prop_assert!(SnapshotStore::open(Arc::new(disk)).is_err());
        let disk = SimDisk::default();
        disk.put(stamp::STAMP, &bytes);
        prop_assert!(open(&disk).is_err());
    }

    #[test]
    fn a_frame_is_read_back_as_written_and_nowhere_else(
        index in 0..u64::MAX, term in any::<u64>(), payload in prop::collection::vec(any::<u8>(), 0..300),
        segment in any::<u64>(), offset in 0..u32::MAX - 8, which in 0..6,
    ) {
        let body = match which {
            0 => Body::Vote(Vote { term, node: index, committed: term % 2 == 0 }),
            1 => Body::Truncate((term % 2 == 0).then_some(at(index, term))),
            2 => Body::Purge(at(index, term)),
            3 => Body::Committed(at(index, term)),
            4 => Body::Start(index),
            _ => Body::Record(record(index, term, payload)),
        };
        let at = frame::At { segment, offset };
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, at, 7, &body);

        prop_assert_eq!(bytes.len(), frame::frame_length(&body));
        prop_assert_eq!(frame::decode(&bytes, at).map(|frame| frame.body), Ok(body));
        let elsewhere = frame::At { segment, offset: offset + 8 };
        prop_assert!(frame::decode(&bytes, elsewhere).is_err());
        let other = frame::At { segment: segment ^ 1, offset };
        prop_assert!(frame::decode(&bytes, other).is_err());
    }
}

#[test]
fn nothing_is_allocated_for_a_length_that_the_file_does_not_have() {
    let disk = SimDisk::default();
    disk.put("short", b"only this");

    let bytes = NamedFile::open(&disk, "short").expect("opens").read_up_to(5, usize::MAX).expect("read");

    assert_eq!(bytes, b"this");
    assert!(bytes.capacity() < 100);
}
