//! The numbered guarantees that cases name.

use std::fmt;

/// A promise of `docs/guarantees.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the numbers are the names; `promise` says what each means")]
pub enum Guarantee {
    G1,
    G2,
    G3,
    G4,
    G5,
    G6,
    G7,
    G8,
    G9,
    G10,
    G11,
    G12,
    G13,
    G14,
    G15,
    G16,
    G17,
    G18,
    G19,
    G20,
}

impl Guarantee {
    /// Every guarantee, in order.
    pub const ALL: [Self; 20] = [
        Self::G1,
        Self::G2,
        Self::G3,
        Self::G4,
        Self::G5,
        Self::G6,
        Self::G7,
        Self::G8,
        Self::G9,
        Self::G10,
        Self::G11,
        Self::G12,
        Self::G13,
        Self::G14,
        Self::G15,
        Self::G16,
        Self::G17,
        Self::G18,
        Self::G19,
        Self::G20,
    ];

    /// The promise in a few words.
    #[must_use]
    pub const fn promise(self) -> &'static str {
        match self {
            Self::G1 => "linearizable",
            Self::G2 => "read your writes",
            Self::G3 => "atomic transactions",
            Self::G4 => "ephemeral keys end with their session, neither early nor late",
            Self::G5 => "ownership is by session",
            Self::G6 => "no revival",
            Self::G7 => "the holder knows first",
            Self::G8 => "mutual exclusion",
            Self::G9 => "fencing",
            Self::G10 => "fairness",
            Self::G11 => "no residue",
            Self::G12 => "snapshot first, no gap",
            Self::G13 => "ordered and unique events",
            Self::G14 => "complete events",
            Self::G15 => "exact failure",
            Self::G16 => "clocks do not matter",
            Self::G17 => "quiet changes",
            Self::G18 => "bounded",
            Self::G19 => "durable",
            Self::G20 => "closed by default",
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}
