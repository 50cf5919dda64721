//! The states that scenarios start from.

use super::{Broken, message};
use crate::proto::{Batch, outcome};
use crate::state_machine::{Applied, StateMachine};

/// Commands that are applied together while a state is set up.
const BATCH_LEN: u64 = 256;

/// How much a state holds.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Persistent keys, a thousand below one parent.
    pub keys: u64,
    /// Sessions, each with one ephemeral key.
    pub sessions: u64,
}

/// A state to start from: set up once, each scenario gets a clone.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) machine: StateMachine,
    pub(super) size: Size,
}

impl State {
    /// A state of this size. Its history holds the changes that made it, as far as its limits go.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    pub fn new(size: Size) -> Result<Self, Broken> {
        let mut machine = StateMachine::new();
        // Sessions are numbered from 1 on.
        in_batches(size.sessions, |batch_of| {
            let opened = message::batch(batch_of.clone().map(|_session| message::open_session()));
            apply(&mut machine, &opened)?;
            let owned = batch_of.map(|number| message::put(message::key_of_session(number + 1), number + 1));
            apply(&mut machine, &message::batch(owned)).map(drop)
        })?;
        in_batches(size.keys, |numbers| {
            let puts = numbers.map(|number| message::put(message::key(number), 0));
            apply(&mut machine, &message::batch(puts)).map(drop)
        })?;
        Ok(Self { machine, size })
    }

    /// The same state after so many more puts of its first key: they are in the history, as far as its limits go.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    pub fn after_puts(&self, count: u64) -> Result<Self, Broken> {
        let mut machine = self.machine.clone();
        in_batches(count, |numbers| {
            let puts = numbers.map(|_number| message::put(message::key(0), 0));
            apply(&mut machine, &message::batch(puts)).map(drop)
        })?;
        Ok(Self { machine, size: self.size })
    }

    /// So many of its keys, in equal distances.
    pub(super) fn some_keys(&self, count: u64) -> impl Iterator<Item = String> + use<> {
        let keys = self.size.keys;
        (0..count).map(move |number| message::key(number * keys / count))
    }

    /// So many of its sessions, in equal distances; the same ones again where it has fewer.
    pub(super) fn some_sessions(&self, count: u64) -> impl Iterator<Item = u64> + use<> {
        let sessions = self.size.sessions;
        (0..count).map(move |number| 1 + number * sessions / count)
    }
}

fn in_batches(count: u64, mut run: impl FnMut(std::ops::Range<u64>) -> Result<(), Broken>) -> Result<(), Broken> {
    let mut from = 0;
    while from < count {
        let to = count.min(from + BATCH_LEN);
        run(from..to)?;
        from = to;
    }
    Ok(())
}

/// Applies a batch of which nothing is refused.
pub(super) fn apply(machine: &mut StateMachine, batch: &Batch) -> Result<Applied, Broken> {
    let applied = machine.apply(batch).map_err(Broken::new)?;
    for outcome in &applied.outcomes {
        if let Some(outcome::Outcome::Refused(refusal)) = &outcome.outcome {
            return Err(Broken::new(&refusal.message));
        }
    }
    Ok(applied)
}
