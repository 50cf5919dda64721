//! Scripted runs of a storage on a simulated disk, and what may be found after they were cut short.

use super::*;
use crate::storage::{SnapshotMeta, StorageError, sim::SimDisk};

/// One step of a script.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Appends so many records of about so many bytes, of this term.
    Append { count: u64, bytes: usize, term: u64 },
    /// Saves the vote for this term.
    Vote(u64),
    /// Removes so many records from the end.
    Truncate(u64),
    /// Takes a snapshot of all but the last so many records.
    Snapshot { but: u64 },
    /// Purges what the snapshot contains.
    Purge,
    /// Remembers the last record as committed.
    Commit,
    /// Stops in order and starts again.
    Restart,
}

/// What a storage holds, as far as a member relies on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) vote: Option<Vote>,
    pub(super) purged: Option<Position>,
    pub(super) records: Vec<(u64, u64, Bytes)>,
    pub(super) snapshot: Option<Position>,
}

impl Held {
    pub(super) fn of(storage: &Storage) -> Self {
        let log = storage.log();
        Self {
            vote: log.vote(),
            purged: log.state().purged,
            records: payloads(log),
            snapshot: storage.snapshots().latest().and_then(|meta| meta.last),
        }
    }

    fn last(&self) -> Option<Position> {
        self.records.last().map(|(index, term, _)| at(*index, *term)).or(self.purged)
    }

    fn next(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    fn position(&self, index: u64) -> Option<Position> {
        self.records.iter().find(|(at, ..)| *at == index).map(|(index, term, _)| at(*index, *term))
    }
}

/// A run: what is certain, and what the step that was cut short may have done.
#[derive(Debug)]
pub(super) struct Run {
    /// What every acknowledged step amounts to.
    pub(super) acknowledged: Held,
    /// Everything that may be found, the acknowledged state included.
    pub(super) possible: Vec<Held>,
    /// The storage, unless it could not be opened.
    pub(super) storage: Option<Storage>,
    /// The error that ended the run.
    pub(super) error: Option<StorageError>,
}

/// Opens the storage and performs the steps until one fails.
pub(super) fn run(disk: &SimDisk, steps: &[Step]) -> Run {
    let mut run = Run { acknowledged: Held::default(), possible: vec![Held::default()], storage: None, error: None };
    match open(disk) {
        Ok(storage) => run.storage = Some(storage),
        Err(error) => run.error = Some(error),
    }
    for step in steps {
        if run.error.is_some() {
            break;
        }
        if let Err(error) = run.step(disk, step) {
            run.error = Some(error);
        }
    }
    run
}

pub(super) fn open(disk: &SimDisk) -> Result<Storage> {
    Storage::open_on(Arc::new(disk.clone()), IDENTITY, Opening::CreateOrOpen, small())
}

impl Run {
    fn step(&mut self, disk: &SimDisk, step: &Step) -> Result<()> {
        let storage = self.storage.clone().expect("open");
        let log = storage.log();
        let before = self.acknowledged.clone();
        match step {
            Step::Append { count, bytes, term } => {
                let first = before.next();
                let records: Vec<Record> = (first..first + count)
                    .map(|index| record(index, *term, vec![(index ^ term) as u8; *bytes]))
                    .collect();
                let prefixes = (1..=records.len()).map(|kept| {
                    let mut held = before.clone();
                    held.records.extend(
                        records[..kept].iter().map(|record| (record.position.index, *term, record.payload.clone())),
                    );
                    held
                });
                self.possible.extend(prefixes);
                durable(|done| log.append(records, done))?;
            }
            Step::Vote(term) => {
                let vote = Vote { term: *term, node: 7, committed: term % 2 == 0 };
                self.possible.push(Held { vote: Some(vote), ..before });
                durable(|done| log.save_vote(vote, done))?;
            }
            Step::Truncate(count) => {
                let mut after = before;
                // What a snapshot contains is committed, and never truncated.
                let committed = before_snapshot(&after);
                after.records.truncate(after.records.len().saturating_sub(*count as usize).max(committed));
                let last = after.last();
                self.possible.push(after);
                durable(|done| log.truncate_after(last, done))?;
            }
            Step::Snapshot { but } => {
                let last = before.next().checked_sub(but + 1).and_then(|index| before.position(index));
                let newer = |last: &Position| before.snapshot.is_none_or(|newest| newest.index < last.index);
                let Some(last) = last.filter(newer) else { return Ok(()) };
                self.possible.push(Held { snapshot: Some(last), ..before });
                self.snapshot(&storage, last)?;
            }
            Step::Purge => {
                let Some(upto) = before.snapshot.filter(|upto| before.position(upto.index).is_some()) else {
                    return Ok(());
                };
                let mut after = Held { purged: Some(upto), ..before };
                after.records.retain(|(index, ..)| *index > upto.index);
                self.possible.push(after);
                durable(|done| log.purge_to(upto, done))?;
            }
            Step::Commit => log.save_committed(before.last())?,
            Step::Restart => {
                storage.close()?;
                drop(storage);
                self.storage = None;
                self.storage = Some(open(disk)?);
            }
        }
        let after = self.possible.last().expect("never empty").clone();
        self.acknowledged = after.clone();
        self.possible = vec![after];
        Ok(())
    }

    fn snapshot(&self, storage: &Storage, last: Position) -> Result<()> {
        let meta = SnapshotMeta { last: Some(last), membership: Bytes::from("members"), id: format!("{last}") };
        let mut writer = storage.snapshots().begin(meta)?;
        for piece in [1, 2] {
            writer.write(&[piece; 700])?;
            writer.flush()?;
        }
        writer.finish().map(drop)
    }
}

/// How many of the records the snapshot contains.
fn before_snapshot(held: &Held) -> usize {
    let contained = |index: u64| held.snapshot.is_some_and(|snapshot| index <= snapshot.index);
    held.records.iter().filter(|(index, ..)| contained(*index)).count()
}

/// A run that rolls, purges and recycles segments, truncates, votes, takes snapshots and restarts.
pub(super) fn eventful() -> Vec<Step> {
    use Step::{Append, Commit, Purge, Restart, Snapshot, Truncate, Vote};
    vec![
        Vote(1),
        Append { count: 3, bytes: 40, term: 1 },
        Commit,
        Append { count: 6, bytes: 900, term: 1 },
        Truncate(2),
        Vote(2),
        Append { count: 5, bytes: 300, term: 2 },
        Snapshot { but: 4 },
        Purge,
        Append { count: 9, bytes: 900, term: 2 },
        Truncate(7),
        Snapshot { but: 1 },
        Purge,
        Commit,
        Append { count: 4, bytes: 1000, term: 3 },
        Restart,
        Append { count: 8, bytes: 500, term: 3 },
        Vote(5),
        Snapshot { but: 0 },
        Purge,
        Append { count: 1, bytes: 10, term: 5 },
        Append { count: 7, bytes: 700, term: 5 },
    ]
}
