//! Names mapped into a namespace and out of it.

use crate::{
    Check, Child, Effect, Entry, Error, ErrorKind, Event, Key, KeyError, ListOptions, Listing, LockGrant, LockName,
    Mutation, Operation, Precondition, Result, Scope, Transaction,
};

#[derive(Debug)]
pub(super) struct Namespace {
    root: Key,
    backend: &'static str,
}

impl Namespace {
    pub(super) fn new(root: Key, backend: &'static str) -> Self {
        Self { root, backend }
    }

    pub(super) fn key(&self, key: &Key, operation: Operation) -> Result<Key> {
        key.under(&self.root).map_err(|error| self.refusal(error, operation).with_key(key.clone()))
    }

    pub(super) fn lock(&self, name: &LockName, operation: Operation) -> Result<LockName> {
        name.under(&self.root).map_err(|error| self.refusal(error, operation))
    }

    pub(super) fn grant(&self, grant: &LockGrant, operation: Operation) -> Result<LockGrant> {
        Ok(LockGrant { name: self.lock(&grant.name, operation)?, ..grant.clone() })
    }

    pub(super) fn scope(&self, scope: &Scope, operation: Operation) -> Result<Scope> {
        Ok(match scope {
            Scope::Key(key) => Scope::Key(self.key(key, operation)?),
            Scope::Children(key) => Scope::Children(self.key(key, operation)?),
            Scope::Tree(key) => Scope::Tree(self.key(key, operation)?),
            Scope::All => Scope::Tree(self.root.clone()),
        })
    }

    /// A listing of everything begins after the root itself, so that its pages hold what belongs to the namespace.
    pub(super) fn listing(&self, scope: &Scope, options: ListOptions) -> Result<(Scope, ListOptions)> {
        let after = match (&options.after, scope) {
            (Some(after), _) => Some(self.key(after, Operation::List)?),
            (None, Scope::All) => Some(self.root.clone()),
            (None, _) => None,
        };
        Ok((self.scope(scope, Operation::List)?, ListOptions { after, ..options }))
    }

    pub(super) fn precondition(&self, precondition: Precondition, operation: Operation) -> Result<Precondition> {
        Ok(match precondition {
            Precondition::LockHeld(grant) => Precondition::LockHeld(self.grant(&grant, operation)?),
            other @ (Precondition::None | Precondition::Absent | Precondition::At(_) | Precondition::OwnedBy(_)) => {
                other
            }
        })
    }

    pub(super) fn transaction(&self, transaction: Transaction) -> Result<Transaction> {
        let (checks, mutations) = transaction.into_parts();
        let mut mapped = Transaction::builder();
        for check in checks {
            mapped = mapped.check(self.check(check)?);
        }
        for mutation in mutations {
            mapped = mapped.mutate(self.mutation(mutation)?);
        }
        mapped.build().map_err(|error| self.invalid(&error.to_string(), Operation::Commit).with_source(error))
    }

    fn check(&self, check: Check) -> Result<Check> {
        let key = |key: &Key| self.key(key, Operation::Commit);
        Ok(match check {
            Check::Absent(at) => Check::Absent(key(&at)?),
            Check::Present(at) => Check::Present(key(&at)?),
            Check::At(at, revision) => Check::At(key(&at)?, revision),
            Check::OwnedBy(at, session) => Check::OwnedBy(key(&at)?, session),
            Check::LockHeld(grant) => Check::LockHeld(self.grant(&grant, Operation::Commit)?),
        })
    }

    fn mutation(&self, mutation: Mutation) -> Result<Mutation> {
        Ok(match mutation {
            Mutation::Put { key, value, lifetime, foreign_owner } => {
                Mutation::Put { key: self.key(&key, Operation::Commit)?, value, lifetime, foreign_owner }
            }
            Mutation::Delete { key } => Mutation::Delete { key: self.key(&key, Operation::Commit)? },
        })
    }

    /// An entry as seen from inside; `None` for what is not in the namespace.
    pub(super) fn entry_inside(&self, entry: Entry) -> Option<Entry> {
        Some(Entry { key: entry.key.below(&self.root)?, ..entry })
    }

    pub(super) fn listing_inside(&self, listing: Listing) -> Listing {
        let Listing { revision, children, next } = listing;
        let children = children.into_iter().filter_map(|child| self.child_inside(child)).collect();
        Listing { revision, children, next: next.and_then(|next| next.below(&self.root)) }
    }

    fn child_inside(&self, child: Child) -> Option<Child> {
        let key = child.key.below(&self.root)?;
        let entry = child.entry.map(|entry| Entry { key: key.clone(), ..entry });
        Some(Child { key, entry })
    }

    /// An event as seen from inside; `None` for a change of the root itself.
    pub(super) fn event_inside(&self, event: Result<Event>) -> Option<Result<Event>> {
        let event = match event {
            Ok(event) => event,
            Err(error) => return Some(Err(self.error_inside(error))),
        };
        let inside = match event {
            Event::Snapshot { listing, reason } => Event::Snapshot { listing: self.listing_inside(listing), reason },
            Event::Put { entry, previous } => Event::Put {
                entry: self.entry_inside(entry)?,
                previous: previous.and_then(|previous| self.entry_inside(previous)),
            },
            Event::Delete { previous, revision } => Event::Delete { previous: self.entry_inside(previous)?, revision },
            Event::Progress { revision } => Event::Progress { revision },
        };
        Some(Ok(inside))
    }

    /// An error in the names of the namespace, in its message too.
    pub(super) fn error_inside(&self, error: Error) -> Error {
        let key = error.key().and_then(|key| key.below(&self.root));
        let message = error.message().replace(&format!("{}/", self.root), "/");
        error.retold(key, message)
    }

    fn refusal(&self, error: KeyError, operation: Operation) -> Error {
        let message = format!("with its namespace in front the name is not valid: {error}");
        self.invalid(&message, operation).with_source(error)
    }

    fn invalid(&self, message: &str, operation: Operation) -> Error {
        Error::new(ErrorKind::InvalidArgument, Effect::NotApplied, operation, self.backend, message)
    }
}
