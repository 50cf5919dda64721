//! Ranges of keys, by their bytes: what scopes are for etcd.

use registry_api::{Key, Scope};

/// The keys from `start` to before `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

impl KeyRange {
    /// Exactly this key.
    pub(crate) fn one(key: &[u8]) -> Self {
        Self { start: key.to_vec(), end: after(key) }
    }

    /// Everything below a key: `/a/` to before `/a0`, as `0` follows `/`.
    pub(crate) fn below(key: &[u8]) -> Self {
        Self { start: [key, b"/"].concat(), end: [key, b"0"].concat() }
    }

    /// What lies between a key and everything below it: neighbours such as `/a-b` of `/a`.
    pub(crate) fn beside(key: &[u8]) -> Self {
        Self { start: after(key), end: [key, b"/"].concat() }
    }

    /// A key, everything below it, and what lies between.
    pub(crate) fn from_to_below(key: &[u8]) -> Self {
        Self { start: key.to_vec(), end: [key, b"0"].concat() }
    }

    /// Every key that begins with a slash.
    pub(crate) fn all() -> Self {
        Self { start: b"/".to_vec(), end: b"0".to_vec() }
    }

    /// The ranges of a scope, in order. Direct children lie among deeper keys.
    pub(crate) fn of(scope: &Scope) -> Vec<Self> {
        match scope {
            Scope::Key(key) => vec![Self::one(bytes(key))],
            Scope::Children(key) => vec![Self::below(bytes(key))],
            Scope::Tree(key) => vec![Self::one(bytes(key)), Self::below(bytes(key))],
            Scope::All => vec![Self::all()],
        }
    }

    /// One range that holds the whole scope, and for a tree a little more.
    pub(crate) fn around(scope: &Scope) -> Self {
        match scope {
            Scope::Tree(key) => Self::from_to_below(bytes(key)),
            other => Self::of(other).pop().unwrap_or_else(Self::all),
        }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && key < self.end.as_slice()
    }

    fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// What is left of this range without another one: nothing, one range, or two.
    fn without(self, hole: &Self) -> impl Iterator<Item = Self> {
        let (before, behind) = match hole.end <= self.start || self.end <= hole.start {
            true => (self, None),
            false => {
                let behind = Self { start: hole.end.clone().max(self.start.clone()), end: self.end.clone() };
                (Self { end: hole.start.clone().min(self.end), start: self.start }, Some(behind))
            }
        };
        [Some(before), behind].into_iter().flatten().filter(|part| !part.is_empty())
    }

    /// What is left of ranges without some holes.
    pub(crate) fn all_without(ranges: Vec<Self>, holes: &[Self]) -> Vec<Self> {
        holes.iter().fold(ranges, |ranges, hole| ranges.into_iter().flat_map(|range| range.without(hole)).collect())
    }
}

/// The first key after this one.
pub(crate) fn after(key: &[u8]) -> Vec<u8> {
    [key, b"\0"].concat()
}

pub(crate) fn bytes(key: &Key) -> &[u8] {
    key.as_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    fn range(start: &str, end: &str) -> KeyRange {
        KeyRange { start: start.into(), end: end.into() }
    }

    #[test]
    fn scopes_end_at_segment_boundaries() {
        let names = ["/a", "/a/1", "/a/1/x", "/a/10", "/a/1-x", "/a/1.x/y", "/a/1 ", "/b", "/a/2"];
        for scope in [Scope::Tree(key("/a/1")), Scope::Key(key("/a/1")), Scope::All, Scope::Tree(key("/a"))] {
            let ranges = KeyRange::of(&scope);
            for name in names {
                let inside = ranges.iter().any(|range| range.contains(name.as_bytes()));
                assert_eq!(inside, scope.contains(&key(name)), "{name} in {scope}");
            }
        }
    }

    #[test]
    fn the_range_around_a_scope_holds_it() {
        let around = KeyRange::around(&Scope::Tree(key("/a/1")));
        assert!(around.contains(b"/a/1") && around.contains(b"/a/1/x") && !around.contains(b"/a/10"));
        assert_eq!(KeyRange::around(&Scope::Children(key("/a"))), range("/a/", "/a0"));
    }

    #[test]
    fn holes_are_cut_out() {
        let cut = |holes: &[KeyRange]| KeyRange::all_without(vec![range("b", "f")], holes);
        assert_eq!(cut(&[range("c", "d")]), [range("b", "c"), range("d", "f")]);
        assert_eq!(cut(&[range("a", "c")]), [range("c", "f")]);
        assert_eq!(cut(&[range("e", "g")]), [range("b", "e")]);
        assert_eq!(cut(&[range("a", "g")]), []);
        assert_eq!(cut(&[range("a", "b"), range("f", "g")]), [range("b", "f")]);
        assert_eq!(cut(&[range("c", "d"), range("e", "f")]), [range("b", "c"), range("d", "e")]);
    }
}
