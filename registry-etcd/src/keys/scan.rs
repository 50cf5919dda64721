//! Reading ranges page by page at one revision, each page small enough for one answer.

use std::collections::VecDeque;
use std::sync::Arc;

use etcd_client::{GetOptions, GetResponse, KeyValue};
use registry_api::{ErrorKind, ListContents, ReadLevel};
use tokio::time::Instant;

use super::KeyRange;
use super::range::after;
use crate::connect::{Connection, Link, Request};
use crate::error::{Failure, Reason};

/// How many entries the first page asks for, with and without values; later ones as many as fit.
const FIRST_PAGE: i64 = 64;
const FIRST_PAGE_OF_KEYS: i64 = 1000;
/// The most entries of a page.
const PAGE_MAX: i64 = 10_000;
/// What a page is meant to hold, in bytes.
const PAGE_LEN: usize = 1024 * 1024;

/// What is read, and how.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) contents: ListContents,
    pub(super) level: ReadLevel,
    pub(super) deadline: Instant,
}

/// A walk over ranges in order.
pub(super) struct Scan<'a> {
    connection: &'a Connection,
    ranges: VecDeque<KeyRange>,
    reading: Reading,
    /// The revision of the first page, and so of all.
    revision: Option<i64>,
    page: i64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(connection: &'a Connection, ranges: Vec<KeyRange>, reading: Reading) -> Self {
        let page = match reading.contents {
            ListContents::Entries => FIRST_PAGE,
            ListContents::KeysOnly => FIRST_PAGE_OF_KEYS,
        };
        Self { connection, ranges: ranges.into(), reading, revision: None, page }
    }

    /// The revision that everything shows; known after the first page.
    pub(super) fn revision(&self) -> i64 {
        self.revision.unwrap_or_default()
    }

    /// The next entries in order; `None` behind the last one.
    pub(super) async fn next_page(&mut self) -> Result<Option<Vec<KeyValue>>, Failure> {
        let Some(range) = self.ranges.front().cloned() else { return Ok(None) };
        let mut answer = loop {
            match self.read(&range).await {
                Ok(answer) => break answer,
                Err(failure) if failure.reason == Reason::AnswerTooLong && self.page > 1 => self.page /= 2,
                Err(failure) => return Err(failure),
            }
        };
        let at = answer.header().map(etcd_client::ResponseHeader::revision).unwrap_or_default();
        self.revision.get_or_insert(at);
        let more = answer.more();
        let entries = answer.take_kvs();
        match (entries.last(), more) {
            (Some(last), true) => self.go_to(after(last.key())),
            _ => {
                self.ranges.pop_front();
            }
        }
        self.fit_page(&entries);
        Ok(Some(entries))
    }

    /// Leaves out everything before `start`.
    pub(super) fn go_to(&mut self, start: Vec<u8>) {
        while self.ranges.front().is_some_and(|range| range.end <= start) {
            self.ranges.pop_front();
        }
        if let Some(range) = self.ranges.front_mut().filter(|range| range.start < start) {
            range.start = start;
        }
    }

    async fn read(&self, range: &KeyRange) -> Result<GetResponse, Failure> {
        let mut options = GetOptions::new().with_range(range.end.clone()).with_limit(self.page);
        if self.reading.contents == ListContents::KeysOnly {
            options = options.with_keys_only();
        }
        if let Some(revision) = self.revision {
            options = options.with_revision(revision);
        }
        if self.reading.level == ReadLevel::Stale {
            options = options.with_serializable();
        }
        let send = |link: Arc<Link>| {
            let (start, options) = (range.start.clone(), options.clone());
            async move { link.kv().get(start, Some(options)).await }
        };
        if Instant::now() > self.reading.deadline {
            return Err(Failure::refused(ErrorKind::DeadlineExceeded, "the listing took too long"));
        }
        self.connection.call(Request::Read, self.reading.deadline, send).await
    }

    /// As many entries as fit, by what the last page needed.
    fn fit_page(&mut self, entries: &[KeyValue]) {
        let len: usize = entries.iter().map(|entry| entry.key().len() + entry.value().len() + 32).sum();
        let each = (len / entries.len().max(1)).max(1);
        self.page = i64::try_from(PAGE_LEN / each).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    }
}
