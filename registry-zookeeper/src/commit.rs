//! Transactions: look at every node concerned, judge the rules by what was seen, and commit one multi that fails if any
//! of it has changed since.

mod plan;
mod rules;
mod view;

use std::sync::Arc;
use std::time::Duration;

use registry_api::{
    Check, ErrorKind, Key, Lifetime, LockGrant, Mutation, Precondition, ReadLevel, Revision, SessionId,
};
use tokio::time::Instant;
use zookeeper_client as zk;

pub(crate) use self::plan::{Op, Plan};
use self::view::View;
use crate::call::answer;
use crate::error::{Failure, Request};
use crate::inner::Inner;
use crate::node;
use crate::paths;
use crate::session::Session;

/// The longest pause between two attempts that others came before.
const PAUSE_MAX: Duration = Duration::from_millis(800);

/// What a transaction did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) revision: Revision,
    /// How many keys it deleted.
    pub(crate) deleted: usize,
}

impl Inner {
    /// Commits all mutations at one revision if all checks hold, or nothing.
    pub(crate) async fn transact(&self, checks: &[Check], mutations: &[Mutation]) -> Result<Done, Failure> {
        self.check_input(checks, mutations)?;
        let deadline = self.deadline();
        let session = mutations.iter().find_map(owner).map(|id| self.sessions.find(id)).transpose()?;
        let mut attempts = 0;
        loop {
            let begun = Instant::now();
            match self.attempt(checks, mutations, session.as_ref(), deadline).await {
                Err(failure) if failure.is_race() => {
                    self.forget_places(checks);
                    self.repair_clock(&failure, deadline).await?;
                }
                result => return result,
            }
            attempts += 1;
            give_way(attempts, begun.elapsed(), deadline).await?;
        }
    }

    async fn attempt(
        &self,
        checks: &[Check],
        mutations: &[Mutation],
        session: Option<&Arc<Session>>,
        deadline: Instant,
    ) -> Result<Done, Failure> {
        let Some(session) = session else {
            let prepare = |client: zk::Client| async move {
                let plan = self.prepare(&client, checks, mutations, deadline).await?;
                Ok((client, plan))
            };
            let (client, plan) = self.reading(deadline, prepare).await?;
            if let (true, [Mutation::Delete { key }]) = (plan.is_empty(), mutations) {
                return self.still_absent(key).await;
            }
            let deleted = plan.deleted();
            let revision = self.carry_out(&client, plan, deadline).await?;
            return Ok(Done { revision, deleted });
        };
        let prepare = async {
            let client = session.client(deadline).await?;
            let plan = self.prepare(&client, checks, mutations, deadline).await?;
            Ok((client, plan))
        };
        let (client, plan) = session.while_alive(Request::Reads, prepare).await?;
        let deleted = plan.deleted();
        let revision = session.while_alive(Request::Changes, self.carry_out(&client, plan, deadline)).await?;
        self.seen.wrote_elsewhere();
        Ok(Done { revision, deleted })
    }

    async fn prepare(
        &self,
        client: &zk::Client,
        checks: &[Check],
        mutations: &[Mutation],
        deadline: Instant,
    ) -> Result<Plan, Failure> {
        loop {
            let view = View::look(self, client, checks, mutations, deadline).await?;
            match rules::judge(&view, checks, mutations) {
                Ok(()) => return view.plan(checks, mutations),
                // A lock was believed in that may be lost, which goes first: once more, with a look at it.
                Err(_) if self.forget_places(checks) => {}
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Forgets where the locks are that were checked; `false` where nothing was known of them.
    fn forget_places(&self, checks: &[Check]) -> bool {
        let known = checks.iter().filter_map(guard).filter(|grant| self.sessions.take_place(grant).is_some());
        known.count() > 0
    }

    /// Commits a plan, and returns its revision; that of a plan that changes nothing is what it was seen at.
    pub(crate) async fn carry_out(
        &self,
        client: &zk::Client,
        plan: Plan,
        deadline: Instant,
    ) -> Result<Revision, Failure> {
        let emptied = plan.emptied().map(str::to_owned).collect::<Vec<_>>();
        let committed = plan.commit(client, &self.dialer, self.layout.clock(), deadline).await?;
        let revision = committed.unwrap_or_else(|| self.seen.revision());
        self.seen.note(revision);
        for parent in &emptied {
            self.remove_unneeded(client, parent, deadline).await;
        }
        Ok(revision)
    }

    /// Removes a node that was a key once and then only the parent of others, and has none left; and those above that
    /// are the same. It shows nowhere, so it does no harm where that fails.
    pub(crate) async fn remove_unneeded(&self, client: &zk::Client, path: &str, deadline: Instant) {
        for path in std::iter::once(path).chain(paths::ancestors(path)) {
            let Ok(found) = crate::read::nodes(client, &[path], deadline).await else { return };
            let Some(Some((data, stat))) = found.into_iter().next() else { return };
            if stat.num_children > 0 || *data != *node::GONE {
                return;
            }
            let delete = client.delete(path, Some(stat.version));
            if answer(deadline, Request::Changes, delete).await.is_err() {
                return;
            }
        }
    }

    /// A delete of what does not exist: the revision at which it did not.
    async fn still_absent(&self, key: &Key) -> Result<Done, Failure> {
        let lookup = self.get(key, ReadLevel::Linearizable).await?;
        match lookup.entry {
            None => Ok(Done { revision: lookup.revision, deleted: 0 }),
            Some(_) => Err(Failure::of(zk::Error::NodeExists, Request::Reads)),
        }
    }

    /// Creates the clock where it is missing, if that can be what a change failed for.
    pub(crate) async fn repair_clock(&self, failure: &Failure, deadline: Instant) -> Result<(), Failure> {
        if failure.is(&zk::Error::NoNode) {
            self.create_clock(deadline).await?;
        }
        Ok(())
    }

    /// Creates the clock, and what is above it.
    pub(crate) async fn create_clock(&self, deadline: Instant) -> Result<(), Failure> {
        let clock = &self.layout.clock();
        let create = |client: zk::Client| async move {
            if answer(deadline, Request::Reads, client.check_stat(clock)).await?.is_some() {
                return Ok(());
            }
            self.create_containers(&client, paths::parent(clock), deadline).await?;
            let create = client.create(clock, b"", &self.dialer.created(zk::CreateMode::Persistent));
            match answer(deadline, Request::Changes, create).await {
                Err(failure) if !failure.is_race() => Err(failure),
                _ => Ok(()),
            }
        };
        self.reading(deadline, create).await
    }

    fn check_input(&self, checks: &[Check], mutations: &[Mutation]) -> Result<(), Failure> {
        for check in checks {
            if let Check::Absent(key) | Check::Present(key) | Check::At(key, _) | Check::OwnedBy(key, _) = check {
                self.check_key(key)?;
            }
        }
        for mutation in mutations {
            self.check_key(mutation.key())?;
            match mutation {
                Mutation::Put { key, value, .. } => check_value(value).map_err(|failure| failure.at(key))?,
                Mutation::Delete { .. } => {}
                other => {
                    let message = format!("a mutation of an unknown kind: {other:?}");
                    return Err(Failure::refused(ErrorKind::Unsupported, message));
                }
            }
        }
        Ok(())
    }
}

fn check_value(value: &[u8]) -> Result<(), Failure> {
    use registry_api::VALUE_LEN_MAX;
    if value.len() > VALUE_LEN_MAX {
        let message = format!("the value has {} bytes; at most {VALUE_LEN_MAX} are allowed", value.len());
        return Err(Failure::invalid(message));
    }
    if node::is_mark(value) {
        return Err(Failure::invalid("this value is kept to mark nodes that are no keys"));
    }
    Ok(())
}

/// Lets others go first, for longer each time and in the measure of how long an attempt takes: whoever tries again at
/// once meets the same rivals again.
pub(crate) async fn give_way(attempts: u32, took: Duration, deadline: Instant) -> Result<(), Failure> {
    if Instant::now() >= deadline {
        let message = "others changed the same keys first, again and again";
        return Err(Failure::refused(ErrorKind::DeadlineExceeded, message));
    }
    if attempts > 1 {
        let longest = took.saturating_mul(1 << attempts.min(6)).min(PAUSE_MAX);
        let pause = longest.mul_f64(rand::random());
        tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
    }
    Ok(())
}

/// The check that a precondition of `key` stands for.
pub(crate) fn as_check(key: &registry_api::Key, precondition: &Precondition) -> Option<Check> {
    match precondition {
        Precondition::None => None,
        Precondition::Absent => Some(Check::Absent(key.clone())),
        Precondition::At(revision) => Some(Check::At(key.clone(), *revision)),
        Precondition::OwnedBy(session) => Some(Check::OwnedBy(key.clone(), *session)),
        Precondition::LockHeld(grant) => Some(Check::LockHeld(grant.clone())),
    }
}

fn guard(check: &Check) -> Option<&LockGrant> {
    match check {
        Check::LockHeld(grant) => Some(grant),
        _ => None,
    }
}

fn owner(mutation: &Mutation) -> Option<SessionId> {
    match mutation {
        Mutation::Put { lifetime: Lifetime::Ephemeral(session), .. } => Some(*session),
        _ => None,
    }
}
