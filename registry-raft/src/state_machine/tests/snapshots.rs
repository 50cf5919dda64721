//! Tests of the snapshot's format: nothing in it is believed.

use proptest::prelude::*;
use prost::Message;
use registry_api::{PutOptions, Revision};

use super::bench::{Bench, acquire, bytes_of, proposal, put};
use crate::proto::snapshot_record::Record;
use crate::proto::{self, Batch, Proposal, SnapshotRecord};
use crate::state_machine::limits::LIMITS;
use crate::state_machine::{SnapshotDecoder, SnapshotError, StateMachine};

/// A state with something of every kind.
fn full() -> Bench {
    let mut bench = Bench::new();
    let (first, second) = (bench.open(), bench.open());
    bench.put("/p", "value");
    bench.put("/p", "other");
    bench.put_ephemeral("/a/e", first);
    bench.lock("/l", first, 3);
    bench.queue("/l", second, 4);
    bench.lock("/m", second, 5);
    let client = bench.register(b"nonce");
    bench.send(Proposal { client, sequence: 1, answered_below: 1, ..proposal(acquire("/l", second, 6)) });
    bench.send(Proposal { client, sequence: 2, answered_below: 1, ..proposal(acquire("/x", second, 7)) });
    bench.delete(&registry_api::Scope::Key(super::bench::key("/p")));
    let third = bench.open();
    let certificate = Some(proto::DeathCertificate { silent_ms: 3, ..Default::default() });
    let end = proto::EndSession { session: third.get(), certificate };
    bench.run(proto::command::Command::EndSession(end));
    bench
}

fn records(bytes: &[u8]) -> Vec<Record> {
    let mut rest = bytes;
    let mut records = Vec::new();
    while !rest.is_empty() {
        records.push(SnapshotRecord::decode_length_delimited(&mut rest).unwrap().record.unwrap());
    }
    records
}

fn encode(records: &[Record]) -> Vec<u8> {
    let record = |record: &Record| SnapshotRecord { record: Some(record.clone()) }.encode_length_delimited_to_vec();
    records.iter().flat_map(record).collect()
}

fn changed(change: impl Fn(&mut Record)) -> Result<StateMachine, SnapshotError> {
    let mut all = records(&bytes_of(&full().machine));
    let before = all.clone();
    all.iter_mut().for_each(change);
    assert_ne!(before, all, "the change did not apply");
    StateMachine::decode_snapshot(&encode(&all))
}

fn assert_damaged(change: impl Fn(&mut Record)) {
    assert!(matches!(changed(change), Err(SnapshotError::Damaged(_))));
}

#[test]
fn an_empty_state_has_a_snapshot() {
    let bytes = bytes_of(&StateMachine::new());
    let restored = StateMachine::decode_snapshot(&bytes).unwrap();
    assert_eq!(restored.revision(), Revision::new(1, 0));
    assert_eq!(bytes_of(&restored), bytes);
}

#[test]
fn a_snapshot_may_be_cut_anywhere_between_pieces() {
    let bytes = bytes_of(&full().machine);
    for len in [1, 2, 3, 7, bytes.len()] {
        let mut decoder = SnapshotDecoder::default();
        bytes.chunks(len).for_each(|piece| decoder.push(piece).unwrap());
        assert_eq!(bytes_of(&decoder.finish().unwrap()), bytes);
    }
}

#[test]
fn a_snapshot_that_is_cut_off_is_refused_wherever_it_is_cut() {
    let bytes = bytes_of(&full().machine);
    for len in 0..bytes.len() {
        assert!(StateMachine::decode_snapshot(&bytes[..len]).is_err(), "cut at {len}");
    }
    assert!(StateMachine::decode_snapshot(&[bytes.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn a_record_that_is_missing_twice_or_moved_is_refused() {
    let all = records(&bytes_of(&full().machine));
    for index in 0..all.len() {
        let mut without = all.clone();
        without.remove(index);
        assert!(StateMachine::decode_snapshot(&encode(&without)).is_err(), "without record {index}");
        let mut twice = all.clone();
        twice.insert(index, all[index].clone());
        assert!(StateMachine::decode_snapshot(&encode(&twice)).is_err(), "record {index} twice");
    }
    let mut moved = all.clone();
    moved.swap(1, 2);
    assert!(StateMachine::decode_snapshot(&encode(&moved)).is_err());
}

#[test]
fn another_format_is_refused_by_its_number() {
    let result = changed(|record| {
        if let Record::Header(header) = record {
            header.format = 2;
        }
    });
    assert_eq!(result.unwrap_err(), SnapshotError::Version { found: 2, known: 1 });
}

#[test]
fn references_to_nothing_and_things_of_the_future_are_refused() {
    let future = proto::Revision { incarnation: 1, counter: 1_000 };
    assert_damaged(|record| {
        if let Record::Entry(entry) = record {
            entry.owner = 77;
        }
    });
    assert_damaged(|record| {
        if let Record::Entry(entry) = record {
            entry.modified = Some(future);
        }
    });
    assert_damaged(|record| {
        if let Record::Lock(lock) = record {
            lock.waiters.iter_mut().for_each(|waiter| waiter.session = 77);
        }
    });
    assert_damaged(|record| {
        if let Record::Lock(lock) = record {
            lock.holder.as_mut().unwrap().token = Some(future);
        }
    });
    assert_damaged(|record| {
        if let Record::Client(client) = record {
            client.last_used = 1_000;
        }
    });
    assert_damaged(|record| {
        if let Record::Outcome(outcome) = record {
            outcome.sequence = 1 << 40;
        }
    });
    assert_damaged(|record| {
        if let Record::Death(death) = record {
            death.ended_at = Some(future);
        }
    });
    assert_damaged(|record| {
        if let Record::Header(header) = record {
            header.revision = Some(proto::Revision { incarnation: 1, counter: u64::MAX });
        }
    });
    assert_damaged(|record| {
        if let Record::Session(session) = record {
            session.ttl_ms = 1;
        }
    });
}

#[test]
fn a_large_state_comes_in_pieces_of_bounded_size() {
    let mut bench = Bench::new();
    let value = vec![7; 4_000];
    let puts = (0..1_000).map(|number| proposal(put(&format!("/k/{number}"), &value, &PutOptions::default())));
    bench.machine.apply(&Batch { proposals: puts.collect() }).unwrap();
    bench.delete(&registry_api::Scope::All);
    let pieces: Vec<_> = bench.machine.encode_snapshot().collect();
    assert!(pieces.len() > 20);
    assert!(pieces.iter().all(|piece| piece.len() < (256 << 10) + 10_000));
    let restored = StateMachine::decode_snapshot(&pieces.concat()).unwrap();
    assert_eq!(bytes_of(&restored), pieces.concat());
}

proptest! {
    #[test]
    fn random_bytes_are_refused_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(StateMachine::decode_snapshot(&bytes).is_err());
    }

    #[test]
    fn a_damaged_snapshot_is_never_a_panic_and_what_is_read_from_it_works(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = bytes_of(&full().machine);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(mut machine) = StateMachine::decode_snapshot(&bytes) {
            let ends = (1..4).map(|session| proto::command::Command::EndSession(proto::EndSession { session, certificate: None }));
            machine.apply(&Batch { proposals: ends.map(proposal).collect() }).unwrap();
            let again = bytes_of(&machine);
            let restored = crate::state_machine::tests::bench::decode(&again, &LIMITS);
            prop_assert!(bytes_of(&restored) == again);
        }
    }
}
