//! A ledger of effects: one file, one line per operation, each effect once.
//!
//! This stands for whatever the tasks of a real workflow change. A worker that is cut off or killed cannot take back what
//! its command did, and the command may even live on. So whoever keeps the effects must fence them (Kleppmann, "How to do
//! distributed locking", 2016): every attempt brings its fencing token, and an attempt that was replaced is refused. And an
//! effect that an earlier attempt left before it died must not be had twice: the resource (instance and task) names the
//! effect, and it is recorded once.

mod audit;
mod file;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use audit::{Audit, AuditError};
pub use file::{Ledger, LedgerError};

/// A fencing token: `<incarnation>.<counter>`, the revision at which the attempt was assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token {
    incarnation: u64,
    counter: u64,
}

/// A text is not a [`Token`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a fencing token such as \"1.93\"")]
pub struct TokenError(String);

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let numbers = text.split_once('.').and_then(|(incarnation, counter)| {
            Some(Self { incarnation: incarnation.parse().ok()?, counter: counter.parse().ok()? })
        });
        numbers.ok_or_else(|| TokenError(text.to_owned()))
    }
}

impl TryFrom<String> for Token {
    type Error = TokenError;

    fn try_from(text: String) -> Result<Self, TokenError> {
        text.parse()
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.to_string()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.incarnation, self.counter)
    }
}

/// One line of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What happened.
    pub kind: Kind,
    /// The effect that it is about.
    pub resource: String,
    /// The token of the attempt.
    pub token: Token,
    /// The number of the attempt, for people.
    #[serde(default)]
    pub attempt: Option<u32>,
    /// The worker, for people.
    #[serde(default)]
    pub worker: Option<String>,
}

/// What an operation on a ledger did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The effect was had.
    Effect,
    /// It was there already, from this or an earlier attempt; the token counts from now on.
    Confirmed,
    /// A later attempt had been there: nothing was done.
    Refused,
}

/// Decides an operation from the lines before it: the rule of the ledger.
#[must_use]
pub fn decide(lines: &[Line], resource: &str, token: Token) -> Kind {
    let newest =
        lines.iter().filter(|line| line.resource == resource && line.kind != Kind::Refused).map(|line| line.token);
    match newest.max() {
        None => Kind::Effect,
        Some(newest) if token >= newest => Kind::Confirmed,
        Some(_newer) => Kind::Refused,
    }
}
