//! Listings: what a scope holds, as one snapshot.

use std::num::NonZeroUsize;

use crate::{Entry, Key, ReadLevel, Revision};

/// How to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// How fresh the answer must be.
    pub read: ReadLevel,
    /// Whether values are sent.
    pub contents: ListContents,
    /// At most this many children; `None` for all of them in one listing.
    pub limit: Option<NonZeroUsize>,
    /// Only keys after this one in byte order: [`Listing::next`] of the page before.
    pub after: Option<Key>,
}

/// What a listing carries of each entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListContents {
    /// Entries with their values.
    #[default]
    Entries,
    /// Entries whose values are left empty.
    KeysOnly,
}

/// What a scope held at one revision, in byte order of the keys.
///
/// A page (a listing with a limit) is a snapshot by itself: pages of one walk are consistent with each other when their
/// revisions are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The revision that the whole listing shows.
    pub revision: Revision,
    /// What was found, each key once.
    pub children: Vec<Child>,
    /// Where the next page begins ([`ListOptions::after`]); `None` when nothing follows.
    pub next: Option<Key>,
}

/// One key of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The key.
    pub key: Key,
    /// Its entry; `None` for a key that is only a parent of others, which [`Scope::Children`](crate::Scope::Children)
    /// names and no other scope does.
    pub entry: Option<Entry>,
}

impl Listing {
    /// The entries, without the names that are only parents.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.children.iter().filter_map(|child| child.entry.as_ref())
    }

    /// The keys, in order, with those that are only parents.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.children.iter().map(|child| &child.key)
    }
}
