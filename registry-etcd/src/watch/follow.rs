//! Following the changes after a revision on one member, as long as it serves.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{GetOptions, WatchOptions, WatchResponse, WatchStream};
use registry_api::{Event, SnapshotReason};

use super::buffer::Room;
use super::event::{Told, told};
use super::feed::Feed;
use crate::connect::{Link, Request};
use crate::error::Failure;
use crate::keys::{KeyRange, revision};

/// After so much silence a member is asked how far it is; the answer has to come within the request timeout.
const SILENCE: Duration = Duration::from_secs(10);
/// The watch that all watches of a stream answer for when they are asked how far they are.
const ALL_WATCHES: i64 = -1;

/// Why following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The stream broke; everything up to this revision was told.
    Broken { after: u64 },
    /// Something cannot be told: a snapshot is needed.
    Gap(SnapshotReason),
}

impl Feed {
    pub(super) async fn follow(&self, after: u64) -> Result<End, Failure> {
        let range = KeyRange::around(&self.scope);
        let first = i64::try_from(after).unwrap_or(i64::MAX).saturating_add(1);
        let send = |link: Arc<Link>| {
            let options = WatchOptions::new()
                .with_range(range.end.clone())
                .with_start_revision(first)
                .with_prev_key()
                .with_progress_notify();
            let start = range.start.clone();
            async move { Ok((link.watch().watch(start, Some(options)).await?, link)) }
        };
        let (stream, link) = self.core.connection.call(Request::Read, self.core.connection.deadline(), send).await?;
        let mut following = Following { feed: self, stream, after };
        tokio::select! {
            end = following.run() => end,
            () = link.ended() => Ok(End::Broken { after: following.after }),
        }
    }
}

impl Feed {
    /// Whether the scope may be read.
    async fn may_read(&self) -> Result<(), Failure> {
        let range = &KeyRange::around(&self.scope);
        let send = |link: Arc<Link>| {
            let options = GetOptions::new().with_range(range.end.clone()).with_limit(1).with_keys_only();
            let start = range.start.clone();
            async move { link.kv().get(start, Some(options)).await.map(drop) }
        };
        self.core.connection.call(Request::Read, self.core.connection.deadline(), send).await
    }
}

struct Following<'a> {
    feed: &'a Feed,
    stream: WatchStream,
    /// Everything up to here was told.
    after: u64,
}

impl Following<'_> {
    async fn run(&mut self) -> Result<End, Failure> {
        loop {
            let Some(response) = self.next().await? else { return Ok(End::Broken { after: self.after }) };
            if response.canceled() {
                return self.canceled(&response).await;
            }
            if let Some(end) = self.tell(&response) {
                return Ok(end);
            }
        }
    }

    /// The next response; `None` where the stream has ended or the member does not answer any more.
    async fn next(&mut self) -> Result<Option<WatchResponse>, Failure> {
        let message = match tokio::time::timeout(SILENCE, self.stream.message()).await {
            Ok(message) => message,
            Err(_silence) => {
                if self.stream.request_progress().await.is_err() {
                    return Ok(None);
                }
                let patience = self.feed.core.connection.request_timeout();
                match tokio::time::timeout(patience, self.stream.message()).await {
                    Ok(message) => message,
                    Err(_silence) => return Ok(None),
                }
            }
        };
        match message.map_err(Failure::from) {
            Ok(response) => Ok(response),
            Err(failure) if failure.reason == crate::error::Reason::Elsewhere => Ok(None),
            // Longer than this client reads in one piece: the events of one change.
            Err(failure) if failure.reason == crate::error::Reason::AnswerTooLong => Err(failure),
            Err(failure) => Err(failure),
        }
    }

    async fn canceled(&self, response: &WatchResponse) -> Result<End, Failure> {
        if response.compact_revision() > 0 {
            return Ok(End::Gap(SnapshotReason::Compacted));
        }
        let reason = response.cancel_reason();
        tracing::debug!(reason, "the member ended a watch");
        // A watch is refused for want of a right or for an old token, in words that differ from version to version. A
        // read of the same keys needs the same right, and renews the token.
        self.feed.may_read().await?;
        Ok(End::Broken { after: self.after })
    }

    /// Tells the events of one response: all changes of one revision are in one response.
    fn tell(&mut self, response: &WatchResponse) -> Option<End> {
        for event in response.events() {
            match told(event, &self.feed.scope, &self.feed.core.lock_root) {
                Told::Nothing => {}
                Told::PreviousLost => return Some(End::Gap(SnapshotReason::Compacted)),
                Told::Event(event) => {
                    if self.feed.sender.push(Ok(event)) == Room::None {
                        return Some(End::Gap(SnapshotReason::Overflow));
                    }
                }
            }
        }
        let at = response.header().map(etcd_client::ResponseHeader::revision).unwrap_or_default();
        let reached = match response.events().iter().filter_map(|event| event.kv()).map(|kv| kv.mod_revision()).max() {
            Some(last) => last,
            // Answers to questions may come before events that they cover (etcd issue 15220): only what a watch tells
            // by itself says how far it is.
            None if response.created() || response.watch_id() == ALL_WATCHES => return None,
            None => {
                self.feed.sender.push(Ok(Event::Progress { revision: revision(at) }));
                at
            }
        };
        self.after = self.after.max(u64::try_from(reached).unwrap_or_default());
        self.feed.core.connection.saw(reached);
        None
    }
}
