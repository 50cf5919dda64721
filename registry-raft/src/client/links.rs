//! Every link of a process, by member: shared by whoever has to reach one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Caller, Dial};
use super::link::Link;
use super::{ClientTiming, Group, Target};

/// The links to the members of one group. Dropping the last clone ends them all.
#[derive(Clone, Debug)]
pub(crate) struct Links(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    caller: Caller,
    timing: ClientTiming,
    group: Arc<Group>,
    links: Mutex<BTreeMap<Target, Open>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Open {
    link: Arc<Link>,
    stop: CancellationToken,
}

impl Links {
    /// Links of this caller; nothing is dialled before it is wanted.
    pub(crate) fn new(group: Arc<Group>, caller: Caller, timing: ClientTiming) -> Self {
        Self(Arc::new(Inner {
            caller,
            timing,
            group,
            links: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// What is known of the group that the links belong to.
    pub(crate) fn group(&self) -> Arc<Group> {
        Arc::clone(&self.0.group)
    }

    /// The link to a member at an address.
    pub(crate) fn to(&self, target: &Target) -> Arc<Link> {
        let mut links = self.0.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = links.get(target) {
            return Arc::clone(&open.link);
        }
        self.forget_former(&mut links);
        let stop = self.0.stop.child_token();
        let dial = Dial {
            target: target.clone(),
            caller: self.0.caller.clone(),
            timing: self.0.timing,
            group: Arc::clone(&self.0.group),
        };
        let (link, driver) = Link::new(dial, stop.clone());
        self.0.tasks.spawn(driver);
        let link = Arc::new(link);
        links.insert(target.clone(), Open { link: Arc::clone(&link), stop });
        link
    }

    /// Ends the links to addresses that nobody names any more, so that a group that moves around leaves none behind.
    fn forget_former(&self, links: &mut BTreeMap<Target, Open>) {
        let mut current = self.0.group.targets();
        current.extend(self.0.group.leader().map(|leader| Target { id: leader.id, address: leader.address }));
        links.retain(|target, open| {
            let stays = current.contains(target);
            if !stays {
                open.stop.cancel();
            }
            stays
        });
    }

    /// Ends all links and waits for their tasks.
    pub(crate) async fn close(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
