//! Scenarios: one operation of one part, set up and ready to be repeated.
//!
//! Benches measure how long the operation takes; the tests of costs compare it with itself where there is less of
//! everything, and count what it allocates. Only this crate's tests and benches have the feature `micro`.

mod apply;
mod codec;
mod fan_out;
mod log;
mod message;
mod snapshot;
mod state;

pub use self::apply::{Apply, ApplyLocks, ApplyOfClient, Get};
pub use self::codec::{AppendCodec, BatchCodec};
pub use self::fan_out::{Audience, FanOut};
pub use self::log::{Append, Place, Recover};
pub use self::snapshot::{DecodeSnapshot, EncodeSnapshot};
pub use self::state::{Size, State};

/// One operation, repeated in rounds. Each round finds what the one before it found.
pub trait Scenario {
    /// How many operations one round is.
    fn operations(&self) -> u64;

    /// Makes the next round possible, where something is left of the one before it. Not measured.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    fn prepare(&mut self) -> Result<(), Broken> {
        Ok(())
    }

    /// One round: what is measured.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    fn run(&mut self) -> Result<(), Broken>;
}

/// The operation did not do what is to be measured: its figures mean nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the scenario is broken: {0}")]
pub struct Broken(String);

impl Broken {
    fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

/// The operations of a round where each takes about a microsecond: many, so that the clock itself does not count.
const ROUND: u64 = 64;
