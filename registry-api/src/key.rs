//! Keys and scopes: absolute paths that are parsed once and valid in every backend.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest key, in bytes of UTF-8, slashes included.
pub const KEY_LEN_MAX: usize = 1024;
/// The longest segment of a key, in bytes of UTF-8.
pub const SEGMENT_LEN_MAX: usize = 255;

/// The name of an entry: an absolute path such as `/nodes/master/1`.
///
/// A key has at least one segment. A segment is 1 to [`SEGMENT_LEN_MAX`] bytes of UTF-8 without `/` and control
/// characters; it is not `.` or `..`, and has no character that some backend refuses (U+E000-F8FF, U+FFF0-FFFF). The
/// first segment is not `zookeeper`, which ZooKeeper keeps for itself. The whole key is at most [`KEY_LEN_MAX`] bytes.
///
/// Parents are implicit: `/a` does not exist because `/a/b` does. Keys order by their bytes.
///
/// Cloning is cheap: the text is shared.
///
/// ```
/// use registry_api::Key;
///
/// let key: Key = "/nodes/master/1".parse()?;
/// assert_eq!(key.parent().map(|parent| parent.to_string()), Some("/nodes/master".to_owned()));
/// assert!("/nodes//1".parse::<Key>().is_err());
/// # Ok::<(), registry_api::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Why a text is not a [`Key`] (or a [`LockName`](crate::LockName), which has the same grammar).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text does not begin with a slash.
    #[error("{text:?} is not a key: it must begin with '/', for example \"/nodes/1\"")]
    NotAbsolute {
        /// The refused text.
        text: String,
    },
    /// Two slashes in a row, a slash at the end, or nothing but a slash.
    #[error(
        "{text:?} is not a key: it has an empty segment; write each segment once between single slashes, none at the end"
    )]
    EmptySegment {
        /// The refused text.
        text: String,
    },
    /// A segment is `.` or `..`.
    #[error("{text:?} is not a key: the segment {segment:?} is reserved; keys are never relative")]
    DotSegment {
        /// The refused text.
        text: String,
        /// The segment at fault.
        segment: String,
    },
    /// A character that some backend cannot store.
    #[error(
        "{text:?} is not a key: the character {character:?} is not allowed (control characters, U+E000-F8FF and U+FFF0-FFFF are not)"
    )]
    Character {
        /// The refused text.
        text: String,
        /// The character at fault.
        character: char,
    },
    /// A segment is too long.
    #[error("a segment of the key beginning {start:?} has {len} bytes; at most {SEGMENT_LEN_MAX} are allowed")]
    SegmentTooLong {
        /// The beginning of the refused text.
        start: String,
        /// The length of the segment in bytes.
        len: usize,
    },
    /// The key is too long.
    #[error("the key beginning {start:?} has {len} bytes; at most {KEY_LEN_MAX} are allowed")]
    TooLong {
        /// The beginning of the refused text.
        start: String,
        /// The length in bytes.
        len: usize,
    },
    /// The first segment belongs to a backend.
    #[error("{text:?} is not a key: the first segment \"zookeeper\" is reserved by ZooKeeper")]
    Reserved {
        /// The refused text.
        text: String,
    },
}

impl Key {
    /// Parses a key.
    ///
    /// # Errors
    ///
    /// [`KeyError`] names the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        check(text)?;
        Ok(Self(text.into()))
    }

    /// The key as text, beginning with a slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments in order, without slashes.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }

    /// The last segment.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The key one segment shorter; `None` for a key of one segment.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        match self.0.rsplit_once('/') {
            Some((parent, _)) if !parent.is_empty() => Some(Self(parent.into())),
            _ => None,
        }
    }

    /// The keys above this one, nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// This key with one or more segments appended: `"a"` or `"a/b"`.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the result is not a key.
    pub fn join(&self, segments: &str) -> Result<Self, KeyError> {
        Self::parse(&format!("{}/{segments}", self.0))
    }

    /// Whether `self` is strictly below `ancestor`, on segment boundaries: `/a/1/x` is below `/a/1`, `/a/10` is not.
    #[must_use]
    pub fn is_below(&self, ancestor: &Key) -> bool {
        self.0.strip_prefix(&*ancestor.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// This key below `root`; the counterpart of [`Key::below`].
    pub(crate) fn under(&self, root: &Self) -> Result<Self, KeyError> {
        Self::parse(&format!("{}{}", root.0, self.0))
    }

    /// This key as seen from `root`; `None` where it is not below it. Every segment was checked before, so the rest is a
    /// key too, also where it begins with the segment that is reserved at the top only.
    pub(crate) fn below(&self, root: &Self) -> Option<Self> {
        self.0.strip_prefix(&*root.0).filter(|rest| rest.starts_with('/')).map(|rest| Self(rest.into()))
    }
}

/// Checks the grammar shared by keys and lock names.
pub(crate) fn check(text: &str) -> Result<(), KeyError> {
    if text.len() > KEY_LEN_MAX {
        return Err(KeyError::TooLong { start: start(text), len: text.len() });
    }
    let Some(path) = text.strip_prefix('/') else {
        return Err(KeyError::NotAbsolute { text: text.to_owned() });
    };
    for segment in path.split('/') {
        check_segment(text, segment)?;
    }
    if path.split('/').next() == Some("zookeeper") {
        return Err(KeyError::Reserved { text: text.to_owned() });
    }
    Ok(())
}

fn check_segment(text: &str, segment: &str) -> Result<(), KeyError> {
    match segment {
        "" => return Err(KeyError::EmptySegment { text: text.to_owned() }),
        "." | ".." => return Err(KeyError::DotSegment { text: text.to_owned(), segment: segment.to_owned() }),
        _ => {}
    }
    if segment.len() > SEGMENT_LEN_MAX {
        return Err(KeyError::SegmentTooLong { start: start(text), len: segment.len() });
    }
    match segment.chars().find(|&character| is_refused(character)) {
        Some(character) => Err(KeyError::Character { text: text.to_owned(), character }),
        None => Ok(()),
    }
}

fn is_refused(character: char) -> bool {
    character.is_control() || matches!(character, '\u{E000}'..='\u{F8FF}' | '\u{FFF0}'..='\u{FFFF}')
}

fn start(text: &str) -> String {
    text.chars().take(32).collect()
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for Key {
    type Error = KeyError;

    fn try_from(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

/// Keys order and hash as their text, so a map of keys can be searched by text.
impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

/// A set of keys, always on segment boundaries: `/a/1` and `/a/10` never share a scope by accident.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Exactly this key.
    Key(Key),
    /// The direct children of this key, not the key itself. A child that is only a parent belongs to it by name: a
    /// listing shows it without an entry. Events are sent for entries of direct children only.
    Children(Key),
    /// This key and everything below it.
    Tree(Key),
    /// Every key of the registry (or of the namespace).
    All,
}

impl Scope {
    /// The key that the scope is named by; `None` for [`Scope::All`].
    #[must_use]
    pub fn root(&self) -> Option<&Key> {
        match self {
            Self::Key(key) | Self::Children(key) | Self::Tree(key) => Some(key),
            Self::All => None,
        }
    }

    /// Whether an entry of this key belongs to the scope.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        match self {
            Self::Key(exact) => key == exact,
            Self::Children(parent) => is_child(key, parent),
            Self::Tree(root) => key == root || key.is_below(root),
            Self::All => true,
        }
    }
}

fn is_child(key: &Key, parent: &Key) -> bool {
    key.is_below(parent) && key.as_str().get(parent.as_str().len() + 1..).is_some_and(|name| !name.contains('/'))
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(formatter, "{key}"),
            Self::Children(key) => write!(formatter, "{key}/*"),
            Self::Tree(key) => write!(formatter, "{key}/**"),
            Self::All => formatter.write_str("/**"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    #[test]
    fn each_rule_of_the_grammar_is_named_when_broken() {
        assert!(matches!(Key::parse("a"), Err(KeyError::NotAbsolute { .. })));
        for text in ["/", "//", "/a/", "/a//b"] {
            assert!(matches!(Key::parse(text), Err(KeyError::EmptySegment { .. })), "{text}");
        }
        for text in ["/.", "/a/..", "/../a"] {
            assert!(matches!(Key::parse(text), Err(KeyError::DotSegment { .. })), "{text}");
        }
        for text in ["/a\0", "/a\n", "/\u{7f}", "/\u{85}", "/\u{E000}", "/\u{FFFD}"] {
            assert!(matches!(Key::parse(text), Err(KeyError::Character { .. })), "{text:?}");
        }
        assert!(matches!(Key::parse("/zookeeper/a"), Err(KeyError::Reserved { .. })));
        assert!(Key::parse("/a/zookeeper").is_ok());
        assert!(Key::parse("/zookeepers").is_ok());
    }

    #[test]
    fn lengths_are_counted_in_bytes_and_the_limit_itself_is_allowed() {
        let segment = "s".repeat(SEGMENT_LEN_MAX);
        assert!(Key::parse(&format!("/{segment}")).is_ok());
        assert!(matches!(Key::parse(&format!("/{segment}s")), Err(KeyError::SegmentTooLong { len: 256, .. })));
        let longest = format!("/{segment}").repeat(4);
        assert_eq!(longest.len(), KEY_LEN_MAX);
        assert!(Key::parse(&longest).is_ok());
        assert!(matches!(Key::parse(&format!("{longest}/a")), Err(KeyError::TooLong { .. })));
    }

    #[test]
    fn scopes_end_at_segment_boundaries() {
        let children = Scope::Children(key("/a/1"));
        assert!(children.contains(&key("/a/1/x")));
        assert!(!children.contains(&key("/a/1")));
        assert!(!children.contains(&key("/a/10")));
        assert!(!children.contains(&key("/a/1/x/y")));
        let tree = Scope::Tree(key("/a/1"));
        assert!(tree.contains(&key("/a/1")));
        assert!(tree.contains(&key("/a/1/x/y")));
        assert!(!tree.contains(&key("/a/10")));
    }

    #[test]
    fn ancestors_come_nearest_first() {
        let ancestors: Vec<_> = key("/a/b/c").ancestors().map(|ancestor| ancestor.to_string()).collect();
        assert_eq!(ancestors, ["/a/b", "/a"]);
    }
}
