//! How a case fails: the guarantee that was broken, what was seen, and where the case noticed.

use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;

use crate::Guarantee;

/// How much of a failure is shown, in characters: enough for a few events.
const SHOWN_MAX: usize = 2000;

/// Why a case failed.
#[derive(Debug)]
pub struct Broken {
    blame: Blame,
    what: String,
    place: &'static Location<'static>,
}

/// Whose failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    /// The backend broke this promise.
    Guarantee(Guarantee),
    /// An operation failed that had no reason to: counted as the first guarantee of the case.
    Unexpected,
    /// The harness could not do what the case asked for; nothing is said of the backend.
    Harness,
}

impl Broken {
    /// The backend broke `guarantee`; `what` says what was expected and what was seen.
    #[track_caller]
    pub fn new(guarantee: Guarantee, what: impl Into<String>) -> Self {
        Self { blame: Blame::Guarantee(guarantee), what: what.into(), place: Location::caller() }
    }

    /// The harness failed to start, stop or disturb its servers.
    #[track_caller]
    pub fn harness(what: impl fmt::Display) -> Self {
        Self { blame: Blame::Harness, what: what.to_string(), place: Location::caller() }
    }

    /// As [`Broken::new`], seen at a place that is not the caller.
    pub(crate) fn at(guarantee: Guarantee, what: impl Into<String>, place: &'static Location<'static>) -> Self {
        Self { blame: Blame::Guarantee(guarantee), what: what.into(), place }
    }

    /// Something did not happen that every backend must do; the first guarantee of the case is blamed.
    pub(crate) fn unexpected_at(what: impl Into<String>, place: &'static Location<'static>) -> Self {
        Self { blame: Blame::Unexpected, what: what.into(), place }
    }

    /// The guarantee that was broken; `None` when it was the harness that failed, or nothing was blamed yet.
    #[must_use]
    pub fn guarantee(&self) -> Option<Guarantee> {
        match self.blame {
            Blame::Guarantee(guarantee) => Some(guarantee),
            Blame::Unexpected | Blame::Harness => None,
        }
    }

    /// Blames an unexpected error on `guarantee`.
    #[must_use]
    pub(crate) fn blamed_on(mut self, guarantee: Guarantee) -> Self {
        if self.blame == Blame::Unexpected {
            self.blame = Blame::Guarantee(guarantee);
        }
        self
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.blame {
            Blame::Guarantee(guarantee) => write!(formatter, "broke {guarantee}: ")?,
            Blame::Unexpected => formatter.write_str("failed unexpectedly: ")?,
            Blame::Harness => formatter.write_str("the harness failed: ")?,
        }
        let shown: String = self.what.chars().take(SHOWN_MAX).collect();
        let rest = if shown.len() < self.what.len() { " ..." } else { "" };
        write!(formatter, "{shown}{rest} (seen at {}:{})", self.place.file(), self.place.line())
    }
}

/// An error that a case passes on with `?` was not expected by it.
impl<E: StdError> From<E> for Broken {
    #[track_caller]
    fn from(error: E) -> Self {
        let mut what = error.to_string();
        let mut below = error.source();
        while let Some(source) = below {
            what = format!("{what}: {source}");
            below = source.source();
        }
        Self { blame: Blame::Unexpected, what, place: Location::caller() }
    }
}

/// The result of a case, and of every step of one.
pub type Outcome<T = ()> = Result<T, Broken>;

/// Fails the case with this guarantee unless the condition holds.
macro_rules! ensure {
    ($guarantee:expr, $condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::Broken::new($guarantee, format!($($text)+)));
        }
    };
}

/// Fails the case with this guarantee unless what was seen equals what was expected; `$what` names the thing compared.
macro_rules! ensure_eq {
    ($guarantee:expr, $seen:expr, $expected:expr, $($what:tt)+) => {
        match (&$seen, &$expected) {
            (seen, expected) => {
                if *seen != *expected {
                    let what = format!($($what)+);
                    let text = format!("{what}: expected {expected:?}, saw {seen:?}");
                    return Err($crate::Broken::new($guarantee, text));
                }
            }
        }
    };
}

pub(crate) use {ensure, ensure_eq};
