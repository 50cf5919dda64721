//! Names of workflows, tasks, instances, workers and masters: one grammar, safe as a segment of a key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes. An instance's name is its workflow's with a suffix, so workflows have less.
pub const NAME_LEN_MAX: usize = 96;

/// A name: 1 to [`NAME_LEN_MAX`] ASCII letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// A text is not a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a name: at most {NAME_LEN_MAX} ASCII letters, digits, '-', '_' and '.', beginning with a letter or digit"
)]
pub struct NameError(String);

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Makes a name of any text: what is not allowed becomes `-`, what is too long is cut.
    #[must_use]
    pub fn lossy(text: &str) -> Self {
        let cleaned: String =
            text.chars().map(|character| if is_allowed(character) { character } else { '-' }).collect();
        let cleaned = cleaned.trim_start_matches(['-', '_', '.']);
        let cut: String = cleaned.chars().take(NAME_LEN_MAX).collect();
        if cut.is_empty() { Self("unnamed".to_owned()) } else { Self(cut) }
    }
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let starts_well = text.starts_with(|character: char| character.is_ascii_alphanumeric());
        if starts_well && text.len() <= NAME_LEN_MAX && text.chars().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.chars().take(NAME_LEN_MAX + 1).collect()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_safe_segment() {
        for good in ["a", "demo-1.2_x", "9", &"n".repeat(NAME_LEN_MAX)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-a", "a/b", "ä", "a b", &"n".repeat(NAME_LEN_MAX + 1)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn any_text_can_be_made_a_name() {
        assert_eq!(Name::lossy("host name/7").as_str(), "host-name-7");
        assert_eq!(Name::lossy("..").as_str(), "unnamed");
    }
}
