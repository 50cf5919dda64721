//! A stand-in for the crate of this name, whose histograms openraft keeps statistics in that nothing here reads.
//!
//! The original computes tables for scales of every width as soon as one histogram is made: 25 MB of memory in each
//! process with a member. This one has what openraft names of it, and keeps nothing. The reasons are in
//! `docs/decisions/0011-histograms-of-openraft.md`.

use std::fmt;
use std::marker::PhantomData;

/// A histogram that keeps nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()>(PhantomData<T>);

impl<T> Histogram<T> {
    /// An empty one, as it stays.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// Takes a value, and forgets it.
    pub const fn record(&mut self, _value: u64) {}

    /// Takes a value as often as said, and forgets it.
    pub const fn record_n(&mut self, _value: u64, _count: u64) {}

    /// Those of no samples.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Percentiles of the recorded values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PercentileStats {
    /// How many values there were.
    pub samples: u64,
    /// One in a thousand is at most this.
    pub p0_1: u64,
    /// One in a hundred is at most this.
    pub p1: u64,
    /// One in twenty is at most this.
    pub p5: u64,
    /// One in ten is at most this.
    pub p10: u64,
    /// Half of them are at most this.
    pub p50: u64,
    /// Nine in ten are at most this.
    pub p90: u64,
    /// 99 in a hundred are at most this.
    pub p99: u64,
    /// 999 in a thousand are at most this.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} samples", self.samples)
    }
}

/// A chart of histograms: an empty one.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsciiChart;

impl AsciiChart {
    /// A chart of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// The same chart: there is nothing to add.
    #[must_use]
    pub fn add<T>(self, _name: impl fmt::Display, _histogram: Histogram<T>) -> Self {
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, _formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
