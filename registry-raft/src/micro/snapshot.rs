//! Scenarios of snapshots.

use std::hint::black_box;

use super::{Broken, Scenario, State};
use crate::state_machine::StateMachine;

/// The snapshot of a state is written.
#[derive(Debug)]
pub struct EncodeSnapshot(StateMachine);

impl EncodeSnapshot {
    /// Of this state.
    #[must_use]
    pub fn new(state: &State) -> Self {
        Self(state.machine.clone())
    }
}

impl Scenario for EncodeSnapshot {
    fn operations(&self) -> u64 {
        1
    }

    fn run(&mut self) -> Result<(), Broken> {
        match self.0.encode_snapshot().map(|piece| black_box(piece).len()).sum() {
            0_usize => Err(Broken::new("the snapshot is empty")),
            _ => Ok(()),
        }
    }
}

/// A state is read from its snapshot.
#[derive(Debug)]
pub struct DecodeSnapshot(Vec<u8>);

impl DecodeSnapshot {
    /// Of this state.
    #[must_use]
    pub fn new(state: &State) -> Self {
        Self(state.machine.encode_snapshot().flatten().collect())
    }
}

impl Scenario for DecodeSnapshot {
    fn operations(&self) -> u64 {
        1
    }

    fn run(&mut self) -> Result<(), Broken> {
        let state = StateMachine::decode_snapshot(&self.0).map_err(Broken::new)?;
        drop(black_box(state));
        Ok(())
    }
}
