//! Keys: reading, listing, putting, deleting, transactions.

use bytes::Bytes;
use registry_api::{
    Committed, DeleteOptions, Deleted, Effect, Error, ErrorKind, Key, ListContents, ListOptions, Listing, Lookup,
    Operation, Precondition, PutOptions, ReadLevel, Result, Revision, Scope, Transaction, VALUE_LEN_MAX,
};

use super::Inner;
use super::answer::{inexpressible, undecodable, unexpected};
use crate::convert::{BACKEND, commit_of, delete_of, put_of};
use crate::proto;
use crate::proto::answer::Answer;
use crate::proto::command::Command;
use crate::proto::outcome::Outcome as Applied;
use crate::proto::request::Request;

impl Inner {
    pub(super) async fn get(&self, key: &Key, read: ReadLevel) -> Result<Lookup> {
        let get = proto::Get { key: key.as_str().to_owned(), freshness: self.freshness(read) };
        let Answer::Get(answer) = self.read(Operation::Get, Request::Get(get)).await? else {
            return Err(unexpected(Operation::Get, Effect::NotApplied));
        };
        let lookup = Lookup::try_from(answer)
            .map_err(|error| undecodable(error, Operation::Get, Effect::NotApplied).with_key(key.clone()))?;
        self.saw(lookup.revision);
        Ok(lookup)
    }

    pub(super) async fn list(&self, scope: &Scope, options: ListOptions) -> Result<Listing> {
        let list = proto::List {
            scope: Some(scope.into()),
            freshness: self.freshness(options.read),
            keys_only: options.contents == ListContents::KeysOnly,
            limit: options.limit.map_or(0, |limit| limit.get() as u64),
            after: options.after.map(|key| key.as_str().to_owned()).unwrap_or_default(),
        };
        let Answer::List(part) = self.read(Operation::List, Request::List(list)).await? else {
            return Err(unexpected(Operation::List, Effect::NotApplied));
        };
        let listing =
            Listing::try_from(part).map_err(|error| undecodable(error, Operation::List, Effect::NotApplied))?;
        self.saw(listing.revision);
        Ok(listing)
    }

    pub(super) async fn put(&self, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        if value.len() > VALUE_LEN_MAX {
            let message = format!("a value has at most {VALUE_LEN_MAX} bytes; this one has {}", value.len());
            return Err(invalid(Operation::Put, message).with_key(key.clone()));
        }
        let command = Command::Put(put_of(key, value, &options));
        let done = self.propose(Operation::Put, command).await.map_err(|error| about(error, key))?;
        Ok(done.revision)
    }

    pub(super) async fn delete(&self, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        let many = !matches!(target, Scope::Key(_));
        if many && !matches!(options.precondition, Precondition::None | Precondition::LockHeld(_)) {
            let message = "a delete of many keys can be conditional on a lock only";
            return Err(invalid(Operation::Delete, message));
        }
        let command = Command::Delete(delete_of(target, &options));
        let done = self.propose(Operation::Delete, command).await.map_err(|error| match target.root() {
            Some(key) => about(error, key),
            None => error,
        })?;
        match done.applied {
            Some(Applied::Deleted(count)) => {
                Ok(Deleted { revision: done.revision, count: usize::try_from(count).unwrap_or(usize::MAX) })
            }
            _ => Err(unexpected(Operation::Delete, Effect::Unknown)),
        }
    }

    pub(super) async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        let commit = commit_of(&transaction).map_err(|error| inexpressible(&error, Operation::Commit))?;
        let done = self.propose(Operation::Commit, Command::Commit(commit)).await?;
        Ok(Committed { revision: done.revision })
    }
}

fn invalid(operation: Operation, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, Effect::NotApplied, operation, BACKEND, message)
}

/// Names the key of the operation where the error names none.
fn about(error: Error, key: &Key) -> Error {
    if error.key().is_some() { error } else { error.with_key(key.clone()) }
}
