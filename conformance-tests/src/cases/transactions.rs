//! Transactions: all of it at one revision, or nothing.

use bytes::Bytes;
use futures::future;
use registry_api::{
    Capability, Check, Error, ErrorKind, ForeignOwner, Lifetime, LockRequest, LockWait, Mutation, PutOptions,
    RegistryClient, Scope, TRANSACTION_LEN_MAX, Transaction, TransactionError, VALUE_LEN_MAX,
};

use super::keys::{absent, present};
use crate::Guarantee::{G3, G4, G9, G15, G20};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::{refused, refused_as_one_of};
use crate::{Broken, Case, Context, Outcome, Watcher};

pub(super) fn cases() -> Vec<Case> {
    cases!["transactions";
        all_changes_have_the_revision_that_was_returned => [G3] .needs(Capability::AtomicTransactions);
        subscribers_are_told_one_revision => [G3] .needs(Capability::AtomicTransactions);
        a_failing_check_at_any_place_prevents_everything => [G3, G15] .needs(Capability::AtomicTransactions);
        a_failing_mutation_at_any_place_prevents_everything => [G3, G15] .needs(Capability::AtomicTransactions);
        the_key_at_fault_is_named => [G15] .needs(Capability::AtomicTransactions);
        checks_alone_change_nothing => [G3] .needs(Capability::AtomicTransactions);
        a_key_may_be_checked_and_changed => [G3] .needs(Capability::AtomicTransactions);
        the_largest_transaction_is_committed => [G3, G20] .needs(Capability::AtomicTransactions);
        what_breaks_the_rules_is_refused_when_built => [G20];
        an_ephemeral_key_cannot_get_a_child_in_the_same_transaction => [G3, G15];
        ephemeral_puts_end_with_their_session => [G4] .needs(Capability::AtomicTransactions);
        a_lock_guards_the_whole => [G9, G3] .needs(Capability::AtomicTransactions);
        readers_never_see_half => [G3] .needs(Capability::AtomicTransactions);
        concurrent_transfers_keep_the_sum => [G3] .needs(Capability::AtomicTransactions);
    ]
}

async fn all_changes_have_the_revision_that_was_returned(context: Context) -> Outcome {
    let client = context.client().await?;
    let (a, b, gone) = (context.key("a")?, context.key("b")?, context.key("gone")?);
    client.put(&a, "before").await?;
    client.put(&gone, "before").await?;
    let builder = Transaction::builder().put(a.clone(), "1").put(b.clone(), "2").delete(gone.clone());
    let committed = client.commit(builder.build()?).await?;
    for (key, value) in [(&a, "1"), (&b, "2")] {
        let entry = present(&client, key, G3).await?;
        ensure_eq!(
            G3,
            (entry.value, entry.modified),
            (Bytes::from(value), committed.revision),
            "{key} after the commit"
        );
    }
    absent(&client, &gone, G3).await
}

async fn subscribers_are_told_one_revision(context: Context) -> Outcome {
    let client = context.client().await?;
    let (a, b, gone) = (context.key("a")?, context.key("b")?, context.key("gone")?);
    client.put(&gone, "before").await?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Tree(context.root()?)).await?;
    let builder = Transaction::builder().put(b, "2").delete(gone).put(a, "1").delete(context.key("never")?);
    let committed = client.commit(builder.build()?).await?;
    let events = watcher.until_sentinel(&client, &context.key("sentinel")?).await?;
    let revisions: Vec<_> = events.iter().map(registry_api::Event::revision).collect();
    ensure_eq!(G3, revisions, [committed.revision; 3], "the revisions of the three changes: {events:?}");
    Ok(())
}

/// What every failing transaction of a case is made of: two puts and a delete that must not happen.
struct Stage {
    client: RegistryClient,
    context: Context,
    watcher: Watcher,
    attempts: usize,
}

impl Stage {
    async fn set(context: &Context, client: RegistryClient) -> Outcome<Self> {
        client.put(&context.key("kept")?, "kept").await?;
        let watcher = Watcher::open(context, &client, &Scope::Tree(context.root()?)).await?;
        Ok(Self { client, context: context.clone(), watcher, attempts: 0 })
    }

    fn harmless(&self) -> Outcome<Vec<Mutation>> {
        let put = |name| -> Outcome<Mutation> {
            let (value, lifetime) = (Bytes::from("never"), Lifetime::Persistent);
            Ok(Mutation::Put { key: self.context.key(name)?, value, lifetime, foreign_owner: ForeignOwner::Refuse })
        };
        Ok(vec![put("one")?, Mutation::Delete { key: self.context.key("kept")? }, put("two")?])
    }

    async fn commit(&mut self, checks: &[Check], mutations: Vec<Mutation>) -> Outcome<Result<(), Error>> {
        let mut builder = Transaction::builder();
        for check in checks {
            builder = builder.check(check.clone());
        }
        for mutation in mutations {
            builder = builder.mutate(mutation);
        }
        Ok(self.client.commit(builder.build()?).await.map(drop))
    }

    /// Fails unless nothing happened, to the keys and in the events.
    async fn nothing_happened(&mut self, what: &str) -> Outcome {
        self.attempts += 1;
        let sentinel = self.context.key(&format!("sentinel/{}", self.attempts))?;
        let events = self.watcher.until_sentinel(&self.client, &sentinel).await?;
        ensure_eq!(G3, events, [], "the events of a transaction refused for {what}");
        absent(&self.client, &self.context.key("one")?, G3).await?;
        absent(&self.client, &self.context.key("two")?, G3).await?;
        present(&self.client, &self.context.key("kept")?, G3).await.map(drop)
    }
}

async fn a_failing_check_at_any_place_prevents_everything(context: Context) -> Outcome {
    let client = context.client().await?;
    let (there, there_too, missing) = (context.key("there")?, context.key("also")?, context.key("missing")?);
    let old = client.put(&there, "old").await?;
    let current = client.put(&there, "new").await?;
    client.put(&there_too, "").await?;
    let session = context.long_session(&client).await?;
    let request = LockRequest { name: context.lock("l")?, session, wait: LockWait::Try };
    let released = client.registry().acquire(request).await?;
    client.registry().release(&released).await?;
    let failing = [
        (Check::Absent(there_too.clone()), ErrorKind::PreconditionFailed),
        (Check::Present(missing.clone()), ErrorKind::PreconditionFailed),
        (Check::At(there_too.clone(), old), ErrorKind::PreconditionFailed),
        (Check::At(missing.clone(), current), ErrorKind::PreconditionFailed),
        (Check::OwnedBy(there_too.clone(), session), ErrorKind::PreconditionFailed),
        (Check::LockHeld(released), ErrorKind::LockLost),
    ];
    let holding = [Check::At(there, current), Check::Absent(context.key("other")?)];
    let mut stage = Stage::set(&context, client).await?;
    for (check, kind) in failing {
        for place in 0..=holding.len() {
            let mut checks = holding.to_vec();
            checks.insert(place, check.clone());
            let what = format!("{check:?} at place {place}");
            let mutations = stage.harmless()?;
            let result = stage.commit(&checks, mutations).await?;
            refused(G3, &format!("a transaction with {what}"), result, &kind)?;
            stage.nothing_happened(&what).await?;
        }
    }
    Ok(())
}

async fn a_failing_mutation_at_any_place_prevents_everything(context: Context) -> Outcome {
    let client = context.client().await?;
    let (mine, other) = (context.long_session(&client).await?, context.long_session(&client).await?);
    let ended = context.long_session(&client).await?;
    client.registry().close_session(ended).await?;
    let (owned, persistent) = (context.key("owned")?, context.key("persistent")?);
    client.put_with(&owned, "", PutOptions::ephemeral(other)).await?;
    client.put(&persistent, "").await?;
    let put = |key: &registry_api::Key, lifetime| {
        let (key, value) = (key.clone(), Bytes::from("never"));
        Mutation::Put { key, value, lifetime, foreign_owner: ForeignOwner::Refuse }
    };
    let failing = [
        (put(&owned, Lifetime::Ephemeral(mine)), ErrorKind::OwnedByAnother { owner: other }),
        (put(&owned, Lifetime::Persistent), ErrorKind::LifetimeMismatch),
        (put(&persistent, Lifetime::Ephemeral(mine)), ErrorKind::LifetimeMismatch),
        (put(&owned.join("child")?, Lifetime::Persistent), ErrorKind::EphemeralParent),
        (put(&context.key("new")?, Lifetime::Ephemeral(ended)), ErrorKind::SessionEnded),
    ];
    let mut stage = Stage::set(&context, client).await?;
    for (mutation, kind) in failing {
        let places = stage.harmless()?.len();
        for place in 0..=places {
            let mut mutations = stage.harmless()?;
            mutations.insert(place, mutation.clone());
            let what = format!("{mutation:?} at place {place}");
            let result = stage.commit(&[], mutations).await?;
            refused(G3, &format!("a transaction with {what}"), result, &kind)?;
            stage.nothing_happened(&what).await?;
        }
    }
    Ok(())
}

async fn the_key_at_fault_is_named(context: Context) -> Outcome {
    let client = context.client().await?;
    let (fine, fault) = (context.key("fine")?, context.key("fault")?);
    client.put(&fault, "").await?;
    let builder = Transaction::builder().absent(fine.clone()).absent(fault.clone()).put(fine, "never");
    let result = client.commit(builder.build()?).await;
    let error = refused(G15, "a transaction with a failing check", result, &ErrorKind::PreconditionFailed)?;
    ensure_eq!(G15, error.key(), Some(&fault), "the key that the error is about");
    Ok(())
}

async fn checks_alone_change_nothing(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let revision = client.put(&key, "").await?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Tree(context.root()?)).await?;
    let builder = Transaction::builder().at(key.clone(), revision).absent(context.key("b")?);
    let committed = client.commit(builder.build()?).await?;
    ensure!(G3, committed.revision >= revision, "checks held at {}, before the put", committed.revision);
    let events = watcher.until_sentinel(&client, &context.key("sentinel")?).await?;
    ensure_eq!(G3, events, [], "the events of a transaction of checks only");
    ensure_eq!(G3, present(&client, &key, G3).await?.modified, revision, "the revision of a key that was only checked");
    Ok(())
}

async fn a_key_may_be_checked_and_changed(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    client.commit(Transaction::builder().absent(key.clone()).put(key.clone(), "1").build()?).await?;
    let revision = present(&client, &key, G3).await?.modified;
    client.commit(Transaction::builder().at(key.clone(), revision).delete(key.clone()).build()?).await?;
    absent(&client, &key, G3).await
}

async fn the_largest_transaction_is_committed(context: Context) -> Outcome {
    let client = context.client().await?;
    let mut builder = Transaction::builder();
    for number in 0..TRANSACTION_LEN_MAX / 2 {
        let key = context.key(&number.to_string())?;
        builder = builder.absent(key.clone()).put(key, vec![1; VALUE_LEN_MAX / TRANSACTION_LEN_MAX]);
    }
    let committed = client.commit(builder.build()?).await?;
    let listing = client.list(&Scope::Tree(context.root()?)).await?;
    ensure_eq!(G3, listing.children.len(), TRANSACTION_LEN_MAX / 2, "how many keys were put");
    let same = listing.entries().all(|entry| entry.modified == committed.revision);
    ensure!(G3, same, "the keys of one transaction have several revisions");
    Ok(())
}

async fn what_breaks_the_rules_is_refused_when_built(context: Context) -> Outcome {
    let key = |number: usize| context.key(&number.to_string());
    ensure_eq!(G20, Transaction::builder().build(), Err(TransactionError::Empty), "an empty transaction");
    let twice = Transaction::builder().put(key(0)?, "").delete(key(0)?).build();
    ensure_eq!(G20, twice, Err(TransactionError::ChangedTwice { key: key(0)? }), "a key changed twice");
    let twice = Transaction::builder().absent(key(0)?).check(Check::Present(key(0)?)).build();
    ensure_eq!(G20, twice, Err(TransactionError::CheckedTwice { key: key(0)? }), "a key checked twice");
    let mut long = Transaction::builder();
    for number in 0..=TRANSACTION_LEN_MAX {
        long = long.delete(key(number)?);
    }
    ensure_eq!(
        G20,
        long.build(),
        Err(TransactionError::TooLong { len: TRANSACTION_LEN_MAX + 1 }),
        "too many operations"
    );
    let (first, second) = (registry_api::SessionId::new(1), registry_api::SessionId::new(2));
    let two = Transaction::builder().put_ephemeral(key(0)?, "", first).put_ephemeral(key(1)?, "", second).build();
    ensure_eq!(G20, two, Err(TransactionError::TwoSessions { first, second }), "two sessions");
    let values = Transaction::builder().put(key(0)?, vec![0; VALUE_LEN_MAX]).put(key(1)?, "1").build();
    ensure_eq!(G20, values, Err(TransactionError::ValuesTooLong { len: VALUE_LEN_MAX + 1 }), "too long values");
    Ok(())
}

async fn an_ephemeral_key_cannot_get_a_child_in_the_same_transaction(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let (parent, child) = (context.key("p")?, context.key("p/c/d")?);
    for parent_first in [true, false] {
        let builder = Transaction::builder();
        let builder = match parent_first {
            true => builder.put_ephemeral(parent.clone(), "", session).put(child.clone(), ""),
            false => builder.put(child.clone(), "").put_ephemeral(parent.clone(), "", session),
        };
        let result = client.commit(builder.build()?).await;
        let kinds = [ErrorKind::EphemeralParent, ErrorKind::InvalidArgument];
        refused_as_one_of(G15, "a transaction that gives an ephemeral key a child", result, &kinds)?;
        absent(&client, &parent, G3).await?;
        absent(&client, &child, G3).await?;
    }
    Ok(client.registry().close_session(session).await?)
}

async fn ephemeral_puts_end_with_their_session(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let (a, b, kept) = (context.key("a")?, context.key("b")?, context.key("kept")?);
    let builder = Transaction::builder().put_ephemeral(a.clone(), "", session).put_ephemeral(b.clone(), "", session);
    client.commit(builder.put(kept.clone(), "").build()?).await?;
    ensure_eq!(G4, present(&client, &a, G4).await?.owner, Some(session), "the owner of an ephemeral put");
    client.registry().close_session(session).await?;
    absent(&client, &a, G4).await?;
    absent(&client, &b, G4).await?;
    present(&client, &kept, G4).await.map(drop)
}

async fn a_lock_guards_the_whole(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let request = LockRequest { name: context.lock("l")?, session, wait: LockWait::Try };
    let grant = client.registry().acquire(request).await?;
    let (a, b) = (context.key("a")?, context.key("b")?);
    let guarded = |value: &'static str| {
        Transaction::builder().lock_held(grant.clone()).put(a.clone(), value).put(b.clone(), value).build()
    };
    client.commit(guarded("held")?).await?;
    client.registry().close_session(session).await?;
    let result = client.commit(guarded("lost")?).await;
    refused(G9, "a transaction guarded by a lost lock", result, &ErrorKind::LockLost)?;
    for key in [&a, &b] {
        ensure_eq!(G9, present(&client, key, G9).await?.value, Bytes::from("held"), "the value of {key}");
    }
    Ok(())
}

async fn readers_never_see_half(context: Context) -> Outcome {
    let (writer, reader) = (context.client().await?, context.client().await?);
    let (first, second) = (context.key("1")?, context.key("2")?);
    writer.put(&first, "0").await?;
    writer.put(&second, "0").await?;
    let write = async {
        for number in 1..300 {
            let builder = Transaction::builder().put(first.clone(), number.to_string());
            writer.commit(builder.put(second.clone(), number.to_string()).build()?).await?;
            tokio::task::yield_now().await;
        }
        Ok::<_, Broken>(())
    };
    let read = async {
        loop {
            // The first is read first: the second, read later, may be newer, but never older.
            let earlier = present(&reader, &first, G3).await?;
            let later = present(&reader, &second, G3).await?;
            let whole = later.modified >= earlier.modified;
            ensure!(G3, whole, "after {earlier:?}, the other half of the transaction is still {later:?}");
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        written = write => written,
        broken = read => broken,
    }
}

async fn concurrent_transfers_keep_the_sum(context: Context) -> Outcome {
    let (one, other) = (context.key("account/1")?, context.key("account/2")?);
    let client = context.client().await?;
    client.commit(Transaction::builder().put(one.clone(), "500").put(other.clone(), "500").build()?).await?;
    let transfers = (0..5).map(|_| async {
        let client = context.client().await?;
        for _ in 0..10 {
            while !transfer(&client, [&one, &other]).await? {}
        }
        Ok::<_, Broken>(())
    });
    future::try_join_all(transfers).await?;
    let listing = client.list(&Scope::Children(context.key("account")?)).await?;
    let values: Vec<_> = listing.entries().map(|entry| entry.value.clone()).collect();
    ensure_eq!(G3, values, [Bytes::from("450"), Bytes::from("550")], "the accounts after fifty transfers");
    Ok(())
}

/// Moves 1 from the first to the second account; `false` when another transfer came between.
async fn transfer(client: &RegistryClient, accounts: [&registry_api::Key; 2]) -> Outcome<bool> {
    let mut builder = Transaction::builder();
    for (key, change) in accounts.into_iter().zip([-1, 1]) {
        let entry = present(client, key, G3).await?;
        let amount: i64 = String::from_utf8_lossy(&entry.value).parse()?;
        builder = builder.at(key.clone(), entry.modified).put(key.clone(), (amount + change).to_string());
    }
    match client.commit(builder.build()?).await {
        Ok(_) => Ok(true),
        Err(error) if *error.kind() == ErrorKind::PreconditionFailed => Ok(false),
        Err(error) => Err(error.into()),
    }
}
