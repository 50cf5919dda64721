//! The revision-order check: every operation says which revision it belongs to, so the order needs no search.
//!
//! It holds that changes have revisions of their own, that no operation belongs to an earlier revision than one that
//! ended before it began (real time), and that every read and every compare-and-set found what the changes before its
//! revision left (replay). A change whose outcome is unknown is found by its value, which is written only once.

use std::collections::BTreeMap;

use registry_api::Revision;

use super::{Action, Answer, Operation, Tick};
use crate::Guarantee::{G1, G15};
use crate::broken::{ensure, ensure_eq};
use crate::{Broken, Outcome};

/// Fails unless some order of the operations explains every answer.
pub(crate) fn check(operations: &[Operation]) -> Outcome {
    judge(operations, operations)
}

/// As [`check`], but reads may be stale: they only show which changes of unknown outcome were made.
pub(crate) fn check_changes(operations: &[Operation]) -> Outcome {
    judge(operations, &changes_of(operations))
}

/// What changed something, or may have.
pub(crate) fn changes_of(operations: &[Operation]) -> Vec<Operation> {
    let is_change = |operation: &&Operation| {
        operation.action != Action::Get && !matches!(operation.answer, Answer::NothingThere(_) | Answer::Refused)
    };
    operations.iter().filter(is_change).copied().collect()
}

fn judge(operations: &[Operation], judged: &[Operation]) -> Outcome {
    let mut changes = acknowledged(operations)?;
    discover(operations, &mut changes)?;
    real_time(judged)?;
    judged.iter().try_for_each(|operation| replayed(operation, operations, &changes))
}

/// What each change left: per key, by revision, the value, or nothing.
type Changes = BTreeMap<usize, BTreeMap<Revision, Option<u64>>>;

fn acknowledged(operations: &[Operation]) -> Outcome<Changes> {
    let (mut changes, mut revisions) = (Changes::new(), BTreeMap::new());
    for operation in operations {
        let Answer::Changed(revision) = operation.answer else { continue };
        if let Some(other) = revisions.insert(revision, operation) {
            return Err(Broken::new(G1, format!("two changes have revision {revision}: {other:?} and {operation:?}")));
        }
        changes.entry(operation.key).or_default().insert(revision, operation.written());
    }
    Ok(changes)
}

/// Adds the changes of unknown outcome that somebody read, and fails for those that were said not to be applied.
fn discover(operations: &[Operation], changes: &mut Changes) -> Outcome {
    let writers: BTreeMap<u64, &Operation> =
        operations.iter().filter_map(|operation| Some((operation.written()?, operation))).collect();
    for read in operations {
        let Answer::Read { found: Some((value, modified)), .. } = read.answer else { continue };
        let Some(writer) = writers.get(&value) else {
            return Err(Broken::new(G1, format!("{read:?} found a value that nobody wrote")));
        };
        let denied = matches!(writer.answer, Answer::NotApplied | Answer::Refused);
        ensure!(G15, !denied, "{read:?} found what was told as not applied: {writer:?}");
        ensure!(G1, writer.begun < read.ended, "{read:?} found what was written only later: {writer:?}");
        ensure_eq!(G1, writer.key, read.key, "the key of the value that {read:?} found");
        let known = changes.entry(read.key).or_default().insert(modified, Some(value));
        let contradicts = known.is_some_and(|known| known != Some(value));
        ensure!(G1, !contradicts, "{read:?} contradicts what was known of revision {modified}: {known:?}");
        let elsewhere = writer.answer.revision().is_some_and(|revision| revision != modified);
        ensure!(G1, !elsewhere, "{read:?} found what {writer:?} wrote at another revision");
    }
    Ok(())
}

/// No operation belongs to an earlier revision than one that ended before it began; a change belongs to a later one.
fn real_time(operations: &[Operation]) -> Outcome {
    let mut ends: Vec<(Tick, Revision, &Operation)> = operations
        .iter()
        .filter_map(|operation| Some((operation.ended, operation.answer.revision()?, operation)))
        .collect();
    ends.sort_by_key(|(ended, ..)| *ended);
    let mut begins: Vec<&Operation> = operations.iter().collect();
    begins.sort_by_key(|operation| operation.begun);
    let mut ends = ends.into_iter().peekable();
    let mut floor: Option<(Revision, &Operation)> = None;
    for operation in begins {
        while let Some((_, revision, ended)) = ends.next_if(|(ended, ..)| *ended < operation.begun) {
            if floor.is_none_or(|(highest, _)| revision > highest) {
                floor = Some((revision, ended));
            }
        }
        let (Some(revision), Some((highest, before))) = (operation.answer.revision(), floor) else { continue };
        let late_enough = match operation.answer {
            Answer::Changed(_) => revision > highest,
            _ => revision >= highest,
        };
        ensure!(G1, late_enough, "{operation:?} began after the end of {before:?}");
    }
    Ok(())
}

/// What a read or a compare-and-set found is what the changes before its revision left.
fn replayed(operation: &Operation, operations: &[Operation], changes: &Changes) -> Outcome {
    let none = BTreeMap::new();
    let of_key = changes.get(&operation.key).unwrap_or(&none);
    let (before, found) = match (operation.action, operation.answer) {
        (Action::Get, Answer::Read { found, at }) => (of_key.range(..=at).next_back(), found),
        (Action::CompareAndSet { expected, found, .. }, Answer::Changed(revision)) => {
            (of_key.range(..revision).next_back(), found.map(|value| (value, expected)))
        }
        _ => return Ok(()),
    };
    let left = before.and_then(|(revision, value)| Some(((*value)?, *revision)));
    if left == found || (found.is_none() && may_be_deleted(operation, operations)) {
        return Ok(());
    }
    let last = before.map(|(revision, _)| *revision);
    let writer = last.and_then(|last| operations.iter().find(|other| other.answer == Answer::Changed(last)));
    Err(Broken::new(
        G1,
        format!("{operation:?} found {found:?}; the changes before left {left:?}, the last by {writer:?}"),
    ))
}

/// A delete of unknown outcome leaves no value to find it by: what it may have deleted may be absent.
fn may_be_deleted(read: &Operation, operations: &[Operation]) -> bool {
    let doubtful = |other: &&Operation| other.is_doubtful() && other.action == Action::Delete;
    operations.iter().filter(doubtful).any(|delete| delete.key == read.key && delete.begun < read.ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(counter: u64) -> Revision {
        Revision::new(1, counter)
    }

    fn put(value: u64, ticks: (Tick, Tick), answer: Answer) -> Operation {
        Operation { key: 0, action: Action::Put { value }, begun: ticks.0, ended: ticks.1, answer }
    }

    fn get(found: Option<(u64, u64)>, at: u64, ticks: (Tick, Tick)) -> Operation {
        let found = found.map(|(value, modified)| (value, revision(modified)));
        let answer = Answer::Read { found, at: revision(at) };
        Operation { key: 0, action: Action::Get, begun: ticks.0, ended: ticks.1, answer }
    }

    fn done(counter: u64) -> Answer {
        Answer::Changed(revision(counter))
    }

    #[test]
    fn a_right_history_is_accepted() {
        let history = [
            put(1, (0, 1), done(5)),
            put(2, (2, 9), done(7)),
            get(Some((1, 5)), 6, (3, 4)),
            get(Some((2, 7)), 7, (5, 6)),
            Operation { key: 0, action: Action::Delete, begun: 10, ended: 11, answer: done(8) },
            get(None, 8, (12, 13)),
        ];
        check(&history).unwrap();
    }

    #[test]
    fn a_stale_read_is_refused() {
        let stale_value = [put(1, (0, 1), done(5)), put(2, (2, 3), done(6)), get(Some((1, 5)), 6, (4, 5))];
        assert!(check(&stale_value).is_err());
        let stale_revision = [put(1, (0, 1), done(5)), put(2, (2, 3), done(6)), get(Some((1, 5)), 5, (4, 5))];
        assert!(check(&stale_revision).is_err());
    }

    #[test]
    fn where_only_changes_are_judged_reads_may_be_stale_and_changes_may_not() {
        let stale = [put(1, (0, 1), done(5)), put(2, (2, 3), done(6)), get(Some((1, 5)), 5, (4, 5))];
        check_changes(&stale).unwrap();
        let swap = Action::CompareAndSet { expected: revision(5), found: Some(1), value: 3 };
        let swapped = Operation { key: 0, action: swap, begun: 6, ended: 7, answer: done(7) };
        assert!(check_changes(&[&stale[..], &[swapped]].concat()).is_err());
        assert!(check_changes(&[put(1, (0, 1), done(6)), put(2, (2, 3), done(5))]).is_err());
    }

    #[test]
    fn a_lost_write_is_refused() {
        assert!(check(&[put(1, (0, 1), done(5)), get(None, 6, (2, 3))]).is_err());
    }

    #[test]
    fn revisions_against_real_time_are_refused() {
        assert!(check(&[put(1, (0, 1), done(6)), put(2, (2, 3), done(5))]).is_err());
        assert!(check(&[put(1, (0, 1), done(5)), put(2, (2, 3), done(5))]).is_err());
    }

    #[test]
    fn what_was_not_applied_must_not_be_found() {
        let history = [put(1, (0, 1), Answer::NotApplied), get(Some((1, 5)), 5, (2, 3))];
        assert_eq!(check(&history).unwrap_err().guarantee(), Some(G15));
    }

    #[test]
    fn what_is_unknown_may_be_found_or_not() {
        let unknown = put(2, (2, 3), Answer::Unknown);
        check(&[put(1, (0, 1), done(5)), unknown, get(Some((2, 6)), 6, (4, 5))]).unwrap();
        check(&[put(1, (0, 1), done(5)), unknown, get(Some((1, 5)), 6, (4, 5))]).unwrap();
        let both = [put(1, (0, 1), done(5)), unknown, get(Some((2, 6)), 6, (4, 5)), get(Some((1, 5)), 7, (6, 7))];
        assert!(check(&both).is_err(), "it was found, and then it was not");
    }

    #[test]
    fn a_compare_and_set_must_have_found_what_was_there() {
        let action = |value| Action::CompareAndSet { expected: revision(5), found: Some(1), value };
        let set = |value, ticks: (Tick, Tick), at| Operation {
            key: 0,
            action: action(value),
            begun: ticks.0,
            ended: ticks.1,
            answer: done(at),
        };
        check(&[put(1, (0, 1), done(5)), set(2, (2, 3), 6)]).unwrap();
        assert!(check(&[put(1, (0, 1), done(5)), set(2, (2, 5), 6), set(3, (3, 4), 7)]).is_err());
    }
}
