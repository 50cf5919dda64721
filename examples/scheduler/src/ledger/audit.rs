//! The proof that a ledger holds every effect once.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Kind, Line, Token};

/// What a ledger holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Effects, in all.
    pub effects: usize,
    /// Resources with an effect.
    pub resources: usize,
    /// Resources with more than one effect: there must be none.
    pub duplicates: Vec<String>,
    /// Attempts that found the effect of an earlier one.
    pub confirmed: usize,
    /// Attempts that had been replaced.
    pub refused: usize,
}

/// What is wrong with a ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// An effect was had more than once.
    #[error("more than one effect of: {}", .0.join(", "))]
    Duplicates(Vec<String>),
    /// An attempt was let through after a later one.
    #[error("the token of {resource} falls from {newest} to {token}")]
    TokenFalls {
        /// The effect.
        resource: String,
        /// The highest token before.
        newest: Token,
        /// The lower token that was let through.
        token: Token,
    },
    /// Not as many effects as there should be.
    #[error("{found} effects, {expected} expected")]
    Count {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
}

impl Audit {
    /// Reads all lines in order.
    ///
    /// # Errors
    ///
    /// [`AuditError::TokenFalls`]; the counts are checked by [`Audit::verdict`].
    pub fn of(lines: &[Line]) -> Result<Self, AuditError> {
        let mut audit = Self::default();
        let mut newest: BTreeMap<&str, Token> = BTreeMap::new();
        let mut effects: BTreeMap<&str, usize> = BTreeMap::new();
        for line in lines {
            match line.kind {
                Kind::Refused => {
                    audit.refused += 1;
                    continue;
                }
                Kind::Effect => *effects.entry(&line.resource).or_default() += 1,
                Kind::Confirmed => audit.confirmed += 1,
            }
            if let Some(newest) = newest.insert(&line.resource, line.token).filter(|newest| *newest > line.token) {
                return Err(AuditError::TokenFalls { resource: line.resource.clone(), newest, token: line.token });
            }
        }
        audit.effects = effects.values().sum();
        audit.resources = effects.len();
        audit.duplicates =
            effects.iter().filter(|(_, count)| **count > 1).map(|(name, _)| (*name).to_owned()).collect();
        Ok(audit)
    }

    /// Whether each effect is there once, and as many as expected.
    ///
    /// # Errors
    ///
    /// [`AuditError`].
    pub fn verdict(&self, expected: Option<usize>) -> Result<(), AuditError> {
        if !self.duplicates.is_empty() {
            return Err(AuditError::Duplicates(self.duplicates.clone()));
        }
        match expected {
            Some(expected) if expected != self.effects => Err(AuditError::Count { found: self.effects, expected }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { effects, resources, confirmed, refused, .. } = self;
        write!(formatter, "{effects} effects, {resources} resources, {confirmed} confirmed, {refused} refused")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: Kind, token: &str) -> Line {
        Line { kind, resource: "i/a".into(), token: token.parse().unwrap(), attempt: None, worker: None }
    }

    #[test]
    fn a_second_effect_is_found() {
        let audit = Audit::of(&[line(Kind::Effect, "1.1"), line(Kind::Effect, "1.2")]).unwrap();
        assert_eq!(audit.verdict(None), Err(AuditError::Duplicates(vec!["i/a".into()])));
    }

    #[test]
    fn a_token_that_falls_is_found() {
        let lines = [line(Kind::Effect, "1.2"), line(Kind::Confirmed, "1.1")];
        assert!(matches!(Audit::of(&lines), Err(AuditError::TokenFalls { .. })));
    }

    #[test]
    fn a_missing_effect_is_found() {
        let audit = Audit::of(&[line(Kind::Effect, "1.1"), line(Kind::Refused, "1.0")]).unwrap();
        assert_eq!(audit.verdict(Some(1)), Ok(()));
        assert_eq!(audit.verdict(Some(2)), Err(AuditError::Count { found: 1, expected: 2 }));
    }
}
