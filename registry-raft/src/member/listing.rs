//! Listings and snapshots in parts of bounded size, all of one state.

use std::num::NonZeroUsize;
use std::sync::Arc;

use registry_api::{Key, ListContents, Scope};

use crate::boundary::PART_LEN;
use crate::member::limits::LIST_PART_LEN_MAX;
use crate::proto;
use crate::state_machine::StateMachine;

/// Walks through a scope part by part. Holds the state as it was when the walk began.
#[derive(Debug)]
pub(crate) struct ListWalk {
    state: Arc<StateMachine>,
    scope: Scope,
    contents: ListContents,
    after: Option<Key>,
    /// How many more children were asked for; `None`: all.
    remaining: Option<usize>,
    /// How many children to look at next: as many as fitted last time, and some more.
    look_at: usize,
    done: bool,
}

impl ListWalk {
    /// Walks through `scope` as it is in `state`.
    pub(crate) fn new(state: Arc<StateMachine>, scope: Scope) -> Self {
        Self {
            state,
            scope,
            contents: ListContents::Entries,
            after: None,
            remaining: None,
            look_at: LIST_PART_LEN_MAX,
            done: false,
        }
    }

    /// With these contents, at most `limit` children (0: all), only those after `after`.
    pub(crate) fn with_options(mut self, contents: ListContents, limit: u64, after: Option<Key>) -> Self {
        self.contents = contents;
        self.remaining = usize::try_from(limit).ok().filter(|&limit| limit > 0);
        self.after = after;
        self
    }

    /// The revision of every part.
    pub(crate) fn revision(&self) -> registry_api::Revision {
        self.state.revision()
    }

    /// The next part; the last one says so. `None` after it.
    pub(crate) fn next_part(&mut self) -> Option<proto::ListPart> {
        if self.done {
            return None;
        }
        let wanted = self.remaining.map_or(self.look_at, |remaining| remaining.min(self.look_at)).max(1);
        let mut listing = self.state.list(&self.scope, self.contents, NonZeroUsize::new(wanted), self.after.as_ref());
        let fitting = fitting(&listing.children);
        if fitting < listing.children.len() {
            listing.children.truncate(fitting);
            listing.next = listing.children.last().map(|child| child.key.clone());
        }
        self.look_at = (fitting * 2).clamp(1, LIST_PART_LEN_MAX);
        self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(fitting));
        self.done = listing.next.is_none() || self.remaining == Some(0);
        self.after.clone_from(&listing.next);
        let mut part = proto::ListPart::from(&listing);
        part.last = self.done;
        if !self.done {
            part.next.clear();
        }
        Some(part)
    }

    /// Everything in one part, for a caller in the same process: nothing is copied but keys.
    pub(crate) fn whole(mut self) -> proto::ListPart {
        let mut whole = self.next_part().unwrap_or_default();
        while let Some(part) = self.next_part() {
            whole.children.extend(part.children);
            whole.next = part.next;
        }
        whole.last = true;
        whole
    }
}

/// How many of these fit into one part; at least one.
fn fitting(children: &[registry_api::Child]) -> usize {
    let mut bytes = 0;
    let mut count = 0;
    for child in children {
        if bytes >= PART_LEN {
            break;
        }
        bytes += 2 * child.key.as_str().len() + 64 + child.entry.as_ref().map_or(0, |entry| entry.value.len());
        count += 1;
    }
    count
}
