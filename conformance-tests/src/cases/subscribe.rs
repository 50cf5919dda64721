//! Subscriptions: snapshot first, then every change once, in order, inside the scope.

mod audience;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future;
use rand::Rng;
use registry_api::{
    Capability, Entry, Event, Key, PutOptions, RegistryClient, Revision, Scope, SnapshotReason, Transaction,
};

use self::audience::{
    a_dropped_subscriber_disturbs_nobody, a_slow_subscriber_costs_itself_only,
    hundreds_of_subscribers_of_one_client_are_all_served, two_subscribers_of_one_scope_are_both_served,
};
use crate::Guarantee::{G5, G12, G13, G14, G18};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::{Broken, Case, Context, Outcome, Watcher};

/// How many random transactions the long storm has.
const STORM: usize = 10_000;

pub(super) fn cases() -> Vec<Case> {
    cases!["subscribe";
        the_first_event_is_a_snapshot_of_the_whole_scope => [G12];
        an_empty_scope_begins_with_an_empty_snapshot => [G12];
        nothing_is_lost_or_doubled_between_snapshot_and_changes => [G12, G13];
        a_new_key_is_told_without_a_previous_entry => [G14];
        a_changed_key_is_told_with_the_previous_entry => [G14];
        a_deleted_key_is_told_with_its_last_entry => [G14];
        a_key_deleted_and_created_again_is_told_so => [G14, G12];
        every_version_is_told => [G12] .needs(Capability::EveryVersion);
        scopes_end_at_segment_boundaries => [G13];
        children_are_told_and_deeper_keys_are_not => [G13];
        everything_is_told_to_the_subscriber_of_everything => [G12];
        the_delete_of_a_tree_tells_every_key => [G14, G12];
        refused_operations_tell_nothing => [G13];
        deletes_of_nothing_tell_nothing => [G13];
        two_subscribers_of_one_scope_are_both_served => [G12];
        hundreds_of_subscribers_of_one_client_are_all_served => [G12, G18];
        a_dropped_subscriber_disturbs_nobody => [G18];
        a_slow_subscriber_costs_itself_only => [G18, G12] .alone();
        the_order_of_changes_holds_over_ten_thousand_transactions => [G13, G12] .alone();
        the_events_of_one_key_tell_its_whole_life => [G12, G14];
        the_owner_of_a_key_is_told => [G5, G14];
    ]
}

/// What the scope holds now, by a fresh listing.
pub(super) async fn held(client: &RegistryClient, scope: &Scope) -> Outcome<BTreeMap<Key, Entry>> {
    let listing = client.list(scope).await?;
    Ok(listing.entries().map(|entry| (entry.key.clone(), entry.clone())).collect())
}

async fn the_first_event_is_a_snapshot_of_the_whole_scope(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let mut last = Revision::ZERO;
    for name in ["t", "t/a", "t/b/c", "u"] {
        last = client.put(&context.key(name)?, name).await?;
    }
    for scope in [Scope::Tree(context.key("t")?), Scope::Children(context.key("t")?), Scope::Key(context.key("t")?)] {
        let watcher = Watcher::open(&context, &other, &scope).await?;
        ensure!(G12, watcher.revision() >= last, "the snapshot of {scope} is of {}, before {last}", watcher.revision());
        ensure_eq!(G12, *watcher.entries(), held(&client, &scope).await?, "the snapshot of {scope}");
    }
    Ok(())
}

async fn an_empty_scope_begins_with_an_empty_snapshot(context: Context) -> Outcome {
    let client = context.client().await?;
    for scope in [Scope::Tree(context.key("t")?), Scope::Children(context.key("t")?), Scope::Key(context.key("t")?)] {
        let mut subscription = client.subscribe(&scope).await?;
        match context.soon("the first event", subscription.next()).await? {
            Some(Ok(Event::Snapshot { listing, reason: SnapshotReason::Initial })) => {
                ensure_eq!(G12, listing.children, [], "the snapshot of an empty scope");
            }
            other => return Err(Broken::new(G12, format!("the first event of an empty scope is {other:?}"))),
        }
    }
    Ok(())
}

async fn nothing_is_lost_or_doubled_between_snapshot_and_changes(context: Context) -> Outcome {
    let (writer, other) = (context.client().await?, context.client().await?);
    let scope = Scope::Tree(context.root()?);
    let keys = (0..7).map(|number| context.key(&number.to_string())).collect::<Outcome<Vec<_>>>()?;
    let write = async {
        for number in 0_usize.. {
            match keys.get(number % 7) {
                Some(key) if number % 5 == 0 => writer.delete(key).await?.revision,
                Some(key) => writer.put(key, number.to_string()).await?,
                None => Revision::ZERO,
            };
            tokio::task::yield_now().await;
        }
        Ok::<_, Broken>(Vec::new())
    };
    let watch = async {
        let mut watchers = Vec::new();
        for _ in 0..12 {
            let mut watcher = Watcher::open(&context, &other, &scope).await?;
            watcher.next().await?;
            watchers.push(watcher);
        }
        Ok::<_, Broken>(watchers)
    };
    let watchers = tokio::select! {
        broken = write => broken?,
        watchers = watch => watchers?,
    };
    let end = writer.put(&context.key("end")?, "").await?;
    let expected = held(&writer, &scope).await?;
    for mut watcher in watchers {
        watcher.until_revision(end).await?;
        ensure_eq!(G12, *watcher.entries(), expected, "the map of a subscriber that began during the writes");
    }
    Ok(())
}

async fn a_new_key_is_told_without_a_previous_entry(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Tree(context.root()?)).await?;
    let revision = client.put(&key, "value").await?;
    let (entry, previous) = watcher.until_put(&key).await?;
    ensure_eq!(G14, previous, None, "what a new key was before");
    let expected = Entry { key, value: Bytes::from("value"), created: revision, modified: revision, owner: None };
    ensure_eq!(G14, entry, expected, "the entry that is told of a new key");
    Ok(())
}

async fn a_changed_key_is_told_with_the_previous_entry(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let created = client.put(&key, "one").await?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Tree(context.root()?)).await?;
    let modified = client.put(&key, "two").await?;
    let (entry, previous) = watcher.until_put(&key).await?;
    let one = Entry { key: key.clone(), value: Bytes::from("one"), created, modified: created, owner: None };
    ensure_eq!(G14, entry, Entry { value: Bytes::from("two"), modified, ..one.clone() }, "the entry as it is now");
    if client.support(Capability::PreviousValue) == registry_api::Support::Full {
        ensure_eq!(G14, previous, Some(one), "the entry as it was");
    }
    Ok(())
}

async fn a_deleted_key_is_told_with_its_last_entry(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    client.put(&key, "one").await?;
    client.put(&key, "last").await?;
    let last = client.get(&key).await?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Key(key.clone())).await?;
    let deleted = client.delete(&key).await?;
    let (previous, revision) = watcher.until_deleted(&key).await?;
    ensure_eq!(G14, Some(previous), last, "the last entry of a deleted key");
    ensure_eq!(G14, revision, deleted.revision, "the revision of the delete");
    Ok(())
}

async fn a_key_deleted_and_created_again_is_told_so(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    client.put(&key, "first").await?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Key(key.clone())).await?;
    client.delete(&key).await?;
    let revision = client.put(&key, "first").await?;
    watcher.until_revision(revision).await?;
    let every = client.support(Capability::EveryVersion) == registry_api::Support::Full;
    let deletes = watcher.history().iter().filter(|event| matches!(event, Event::Delete { .. })).count();
    ensure!(G14, deletes == 1 || !every, "a delete and a creation are told as {:?}", watcher.history());
    let created = watcher.entries().get(&key).map(|entry| entry.created);
    ensure_eq!(G14, created, Some(revision), "when the key was created, by the events");
    Ok(())
}

async fn every_version_is_told(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Key(key.clone())).await?;
    let mut revisions = Vec::new();
    for number in 0..300 {
        revisions.push(client.put(&key, number.to_string()).await?);
    }
    for (number, revision) in revisions.into_iter().enumerate() {
        let event = watcher.next().await?;
        ensure_eq!(G12, event.revision(), revision, "the revision of event {number}");
        let value = watcher.entries().get(&key).map(|entry| entry.value.clone());
        ensure_eq!(G12, value, Some(Bytes::from(number.to_string())), "the value of event {number}");
    }
    Ok(())
}

async fn scopes_end_at_segment_boundaries(context: Context) -> Outcome {
    let client = context.client().await?;
    let tree = Scope::Tree(context.key("nodes/master")?);
    let one = Scope::Key(context.key("nodes/master/1")?);
    let mut of_tree = Watcher::open(&context, &client, &tree).await?;
    let mut of_one = Watcher::open(&context, &client, &one).await?;
    for outside in ["nodes/master-coordinator/1", "nodes/master2", "nodes/masters/1", "nodes", "nodes/maste"] {
        client.put(&context.key(outside)?, "").await?;
    }
    let ten = context.key("nodes/master/10")?;
    client.put(&ten, "").await?;
    let inside = context.key("nodes/master/1")?;
    let events = of_tree.until_sentinel(&client, &inside).await?;
    let told: Vec<_> = events.iter().filter_map(Event::key).collect();
    ensure_eq!(G13, told, [&ten], "the keys that the subscriber of {tree} is told of");
    let event = of_one.next().await?;
    ensure_eq!(G13, event.key(), Some(&inside), "the key that the subscriber of {one} is told of first");
    Ok(())
}

async fn children_are_told_and_deeper_keys_are_not(context: Context) -> Outcome {
    let client = context.client().await?;
    let parent = context.key("p")?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Children(parent.clone())).await?;
    client.put(&parent, "the parent itself").await?;
    client.put(&parent.join("a/deep")?, "").await?;
    client.put(&parent.join("a")?, "").await?;
    client.delete(&parent.join("a/deep")?).await?;
    let events = watcher.until_sentinel(&client, &parent.join("sentinel")?).await?;
    let told: Vec<_> = events.iter().filter_map(Event::key).collect();
    ensure_eq!(G13, told, [&parent.join("a")?], "the keys that the subscriber of children is told of");
    Ok(())
}

async fn everything_is_told_to_the_subscriber_of_everything(context: Context) -> Outcome {
    let client = context.client().await?;
    let inside = client.namespaced(&context.key("ns")?);
    let mut watcher = Watcher::open(&context, &inside, &Scope::All).await?;
    let (a, b) = (Key::parse("/a")?, Key::parse("/b/c")?);
    inside.put(&a, "").await?;
    inside.put(&b, "").await?;
    inside.delete(&a).await?;
    let events = watcher.until_sentinel(&inside, &Key::parse("/sentinel")?).await?;
    let told: Vec<_> = events.iter().filter_map(Event::key).collect();
    ensure_eq!(G12, told, [&a, &b, &a], "the keys that the subscriber of everything is told of");
    Ok(())
}

async fn the_delete_of_a_tree_tells_every_key(context: Context) -> Outcome {
    let client = context.client().await?;
    for name in ["t", "t/a", "t/a/b", "t/c/d", "t2"] {
        client.put(&context.key(name)?, name).await?;
    }
    let mut watcher = Watcher::open(&context, &client, &Scope::Tree(context.root()?)).await?;
    client.delete_tree(&context.key("t")?).await?;
    let events = watcher.until_sentinel(&client, &context.key("sentinel")?).await?;
    let mut values: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Delete { previous, .. } => Some(previous.value.clone()),
            _ => None,
        })
        .collect();
    values.sort();
    ensure_eq!(G14, values, ["t", "t/a", "t/a/b", "t/c/d"], "the values of the keys of a deleted tree");
    ensure_eq!(G14, events.len(), values.len(), "how many events the delete of a tree has");
    Ok(())
}

async fn refused_operations_tell_nothing(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let old = client.put(&key, "").await?;
    client.put(&key, "").await?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Tree(context.root()?)).await?;
    let session = context.long_session(&client).await?;
    let refused = [
        client.create(&key, "").await.is_err(),
        client.put_with(&key, "", PutOptions::default().when(registry_api::Precondition::At(old))).await.is_err(),
        client.put_with(&key, "", PutOptions::ephemeral(session)).await.is_err(),
        client.commit(Transaction::builder().absent(key.clone()).put(context.key("b")?, "").build()?).await.is_err(),
    ];
    ensure_eq!(G13, refused, [true; 4], "whether each operation was refused");
    let events = watcher.until_sentinel(&client, &context.key("sentinel")?).await?;
    ensure_eq!(G13, events, [], "the events of refused operations");
    Ok(())
}

async fn deletes_of_nothing_tell_nothing(context: Context) -> Outcome {
    let client = context.client().await?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Tree(context.root()?)).await?;
    client.delete(&context.key("a")?).await?;
    client.delete_tree(&context.key("a")?).await?;
    client.commit(Transaction::builder().delete(context.key("a")?).build()?).await?;
    let events = watcher.until_sentinel(&client, &context.key("sentinel")?).await?;
    ensure_eq!(G13, events, [], "the events of deletes of nothing");
    Ok(())
}

/// One random change of a few keys, in one transaction.
pub(super) fn random_change(context: &Context, random: &mut impl Rng) -> Outcome<Transaction> {
    let mut builder = Transaction::builder();
    let first: u32 = random.random_range(0..20);
    for step in 0..random.random_range(1..4) {
        let key = context.key(&format!("storm/{}", (first + step * 7) % 20))?;
        builder = match random.random_range(0..4) {
            0 => builder.delete(key),
            _ => builder.put(key, random.random::<u32>().to_string()),
        };
    }
    Ok(builder.build()?)
}

async fn the_order_of_changes_holds_over_ten_thousand_transactions(context: Context) -> Outcome {
    const WRITERS: u64 = 50;
    const ROUNDS: usize = 40;
    let client = context.client().await?;
    let scope = Scope::Tree(context.root()?);
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        writers.push((context.client().await?, context.random(number)));
    }
    let mut watcher = Watcher::open(&context, &client, &scope).await?;
    for round in 0..ROUNDS {
        let each = writers.iter_mut().map(|(client, random)| {
            let context = &context;
            async move {
                for _ in 0..STORM / ROUNDS / WRITERS as usize {
                    client.commit(random_change(context, random)?).await?;
                }
                Ok::<_, Broken>(())
            }
        });
        future::try_join_all(each).await?;
        let end = client.put(&context.key("end")?, round.to_string()).await?;
        watcher.until_revision(end).await?;
        ensure_eq!(G12, *watcher.entries(), held(&client, &scope).await?, "the map after round {round} of the storm");
    }
    let gaps = watcher.history().iter().filter(|event| matches!(event, Event::Snapshot { .. })).count();
    ensure_eq!(G18, gaps, 1, "how many snapshots a subscriber needed that read all the time");
    Ok(())
}

async fn the_events_of_one_key_tell_its_whole_life(context: Context) -> Outcome {
    let client = context.client().await?;
    let session = context.long_session(&client).await?;
    let key = context.key("a")?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Key(key.clone())).await?;
    client.put(&key, "persistent").await?;
    client.delete(&key).await?;
    client.put_with(&key, "ephemeral", PutOptions::ephemeral(session)).await?;
    client.registry().close_session(session).await?;
    let end = client.put(&key, "again").await?;
    watcher.until_revision(end).await?;
    let told: Vec<_> = watcher
        .history()
        .iter()
        .map(|event| match event {
            Event::Put { .. } => "put",
            Event::Delete { .. } => "delete",
            _ => "snapshot",
        })
        .collect();
    let every = client.support(Capability::EveryVersion) == registry_api::Support::Full;
    let life = ["snapshot", "put", "delete", "put", "delete", "put"];
    ensure!(G12, told == life || !every, "the life of a key is told as {told:?}");
    Ok(())
}

async fn the_owner_of_a_key_is_told(context: Context) -> Outcome {
    let client = context.client().await?;
    let (one, other) = (context.long_session(&client).await?, context.long_session(&client).await?);
    let key = context.key("e")?;
    let mut watcher = Watcher::open(&context, &client, &Scope::Key(key.clone())).await?;
    client.put_with(&key, "", PutOptions::ephemeral(one)).await?;
    ensure_eq!(G5, watcher.until_put(&key).await?.0.owner, Some(one), "the owner that is told");
    client.put_with(&key, "", PutOptions::ephemeral(other).taking_over()).await?;
    ensure_eq!(G5, watcher.until_put(&key).await?.0.owner, Some(other), "the owner that is told after the take-over");
    client.registry().close_session(other).await?;
    ensure_eq!(G14, watcher.until_deleted(&key).await?.0.owner, Some(other), "the owner that is told of the end");
    Ok(())
}
