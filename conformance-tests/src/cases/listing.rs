//! Listings: scopes on segment boundaries, order, pages, one revision.

use std::num::NonZeroUsize;

use bytes::Bytes;
use registry_api::{
    Capability, Child, ErrorKind, Key, ListContents, ListOptions, Listing, RegistryClient, Scope, Transaction,
};
use tokio::time::Instant;

use crate::Guarantee::{G1, G3, G18};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::{Broken, Case, Context, Outcome};

/// How many children the large listing has.
const MANY: usize = 20_000;

pub(super) fn cases() -> Vec<Case> {
    cases!["listing";
        children_are_direct_unique_and_sorted_by_bytes => [G1];
        a_missing_parent_lists_like_an_empty_one => [G1];
        a_child_that_is_only_a_parent_is_named_without_an_entry => [G1];
        a_tree_holds_its_root_and_everything_below => [G1];
        siblings_with_a_common_beginning_stay_outside => [G1];
        a_single_key_is_a_scope => [G1];
        keys_without_values_on_request => [G1];
        pages_together_are_the_whole => [G1];
        pages_of_children_name_parents_once => [G1];
        twenty_thousand_children_are_listed => [G18, G1] .alone();
        a_listing_shows_one_revision => [G3] .needs(Capability::AtomicListing);
    ]
}

async fn put_all(client: &RegistryClient, context: &Context, names: &[&str]) -> Outcome {
    for name in names {
        client.put(&context.key(name)?, name.to_string()).await?;
    }
    Ok(())
}

/// The listed keys, without the prefix of the case.
fn names(context: &Context, listing: &Listing) -> Outcome<Vec<String>> {
    let root = format!("{}/", context.root()?);
    Ok(listing.keys().map(|key| key.as_str().replacen(&root, "", 1)).collect())
}

async fn children_are_direct_unique_and_sorted_by_bytes(context: Context) -> Outcome {
    let client = context.client().await?;
    put_all(&client, &context, &["p/b", "p/a/x", "p/a/y/z", "p/A", "p/é", "p/~", "p/a", "p/10", "p/9", "q/c", "p"])
        .await?;
    let listing = client.list(&Scope::Children(context.key("p")?)).await?;
    ensure_eq!(G1, names(&context, &listing)?, ["p/10", "p/9", "p/A", "p/a", "p/b", "p/~", "p/é"], "the children of p");
    Ok(())
}

async fn a_missing_parent_lists_like_an_empty_one(context: Context) -> Outcome {
    let client = context.client().await?;
    client.put(&context.key("empty")?, "").await?;
    for parent in ["empty", "missing", "missing/below"] {
        let listing = client.list(&Scope::Children(context.key(parent)?)).await?;
        ensure_eq!(G1, listing.children, Vec::<Child>::new(), "the children of {parent}");
        ensure_eq!(G1, listing.next, None, "the next page of nothing");
    }
    let listing = client.list(&Scope::Tree(context.key("missing")?)).await?;
    ensure_eq!(G1, listing.children, Vec::<Child>::new(), "the tree of a missing root");
    Ok(())
}

async fn a_child_that_is_only_a_parent_is_named_without_an_entry(context: Context) -> Outcome {
    let client = context.client().await?;
    put_all(&client, &context, &["p/leaf", "p/branch/leaf", "p/both", "p/both/leaf"]).await?;
    let listing = client.list(&Scope::Children(context.key("p")?)).await?;
    let seen: Vec<_> = listing.children.iter().map(|child| (child.key.name(), child.entry.is_some())).collect();
    ensure_eq!(
        G1,
        seen,
        [("both", true), ("branch", false), ("leaf", true)],
        "the children and whether they have entries"
    );
    Ok(())
}

async fn a_tree_holds_its_root_and_everything_below(context: Context) -> Outcome {
    let client = context.client().await?;
    put_all(&client, &context, &["t", "t/a", "t/a/b/c", "t/d", "u", "t2/a"]).await?;
    let listing = client.list(&Scope::Tree(context.key("t")?)).await?;
    ensure_eq!(G1, names(&context, &listing)?, ["t", "t/a", "t/a/b/c", "t/d"], "the tree of t");
    ensure!(G1, listing.children.iter().all(|child| child.entry.is_some()), "a tree names keys without entries");
    Ok(())
}

async fn siblings_with_a_common_beginning_stay_outside(context: Context) -> Outcome {
    let client = context.client().await?;
    put_all(&client, &context, &["1", "1/a", "10", "10/a", "1-x/a", "1.x", "1 x/a"]).await?;
    let tree = client.list(&Scope::Tree(context.key("1")?)).await?;
    ensure_eq!(G1, names(&context, &tree)?, ["1", "1/a"], "the tree of 1");
    let children = client.list(&Scope::Children(context.key("1")?)).await?;
    ensure_eq!(G1, names(&context, &children)?, ["1/a"], "the children of 1");
    Ok(())
}

async fn a_single_key_is_a_scope(context: Context) -> Outcome {
    let client = context.client().await?;
    put_all(&client, &context, &["k", "k/below", "kk"]).await?;
    let listing = client.list(&Scope::Key(context.key("k")?)).await?;
    ensure_eq!(G1, names(&context, &listing)?, ["k"], "the scope of one key");
    let listing = client.list(&Scope::Key(context.key("missing")?)).await?;
    ensure_eq!(G1, names(&context, &listing)?, Vec::<String>::new(), "the scope of one missing key");
    Ok(())
}

async fn keys_without_values_on_request(context: Context) -> Outcome {
    let client = context.client().await?;
    let scope = Scope::Tree(context.root()?);
    put_all(&client, &context, &["a", "b"]).await?;
    let options = ListOptions { contents: ListContents::KeysOnly, ..ListOptions::default() };
    let listing = client.list_with(&scope, options).await?;
    ensure_eq!(G1, names(&context, &listing)?, ["a", "b"], "the keys");
    for entry in listing.entries() {
        ensure_eq!(G1, entry.value, Bytes::new(), "the value of {} in a listing of keys only", entry.key);
    }
    let full = client.list(&scope).await?;
    let revisions = |listing: &Listing| listing.entries().map(|entry| entry.modified).collect::<Vec<_>>();
    ensure_eq!(G1, revisions(&listing), revisions(&full), "the revisions with and without values");
    Ok(())
}

/// Walks a scope in pages of `size`, and returns what all pages hold.
async fn walk(client: &RegistryClient, scope: &Scope, size: usize) -> Outcome<Vec<Child>> {
    let mut children = Vec::new();
    let mut after: Option<Key> = None;
    loop {
        let options = ListOptions { limit: NonZeroUsize::new(size), after: after.clone(), ..ListOptions::default() };
        let page = client.list_with(scope, options).await?;
        ensure!(G1, page.children.len() <= size, "a page of {size} holds {}", page.children.len());
        ensure!(G1, !page.children.is_empty() || page.next.is_none(), "an empty page says that another follows");
        children.extend(page.children);
        match page.next {
            Some(next) if after.as_ref().is_some_and(|after| next <= *after) => {
                return Err(Broken::new(G1, format!("the page after {next} does not go forward")));
            }
            Some(next) => after = Some(next),
            None => return Ok(children),
        }
    }
}

async fn pages_together_are_the_whole(context: Context) -> Outcome {
    let client = context.client().await?;
    for number in 0..23 {
        client.put(&context.key(&format!("p/{number}"))?, number.to_string()).await?;
    }
    let scope = Scope::Tree(context.root()?);
    let whole = client.list(&scope).await?.children;
    for size in [1, 2, 5, 22, 23, 24, 100] {
        ensure_eq!(G1, walk(&client, &scope, size).await?, whole, "the pages of {size} together");
    }
    Ok(())
}

async fn pages_of_children_name_parents_once(context: Context) -> Outcome {
    let client = context.client().await?;
    put_all(&client, &context, &["p/a/1", "p/a/2", "p/b", "p/b/1", "p/c", "p/d/1/x", "p/d/2/x"]).await?;
    let scope = Scope::Children(context.key("p")?);
    let whole = client.list(&scope).await?.children;
    ensure_eq!(G1, whole.len(), 4, "how many children there are");
    for size in [1, 2, 3, 4] {
        ensure_eq!(G1, walk(&client, &scope, size).await?, whole, "the pages of {size} together");
    }
    Ok(())
}

async fn twenty_thousand_children_are_listed(context: Context) -> Outcome {
    let client = context.client().await?;
    let parent = context.key("many")?;
    let numbers: Vec<usize> = (0..MANY).collect();
    for chunk in numbers.chunks(registry_api::TRANSACTION_LEN_MAX) {
        let mut transaction = Transaction::builder();
        for number in chunk {
            transaction = transaction.put(parent.join(&format!("{number:05}"))?, number.to_string());
        }
        client.commit(transaction.build()?).await?;
    }
    let listing = client.list(&Scope::Children(parent.clone())).await?;
    ensure_eq!(G18, listing.children.len(), MANY, "how many children are listed");
    ensure_eq!(G18, listing.next, None, "the next page of a listing without limit");
    let sorted = listing.children.is_sorted_by(|one, other| one.key < other.key);
    ensure!(G1, sorted, "the listing of {MANY} children is not in byte order, or names one twice");
    delete_many(&context, &client, &parent).await?;
    let left = client.list(&Scope::Tree(parent)).await?;
    ensure_eq!(G1, left.children.len(), 0, "how many children are listed after all of them were deleted");
    Ok(())
}

/// Deletes more than a small machine may have time for in one request: a delete that ran out of time, and says so, is
/// repeated and goes on where it was.
async fn delete_many(context: &Context, client: &RegistryClient, root: &Key) -> Outcome {
    let until = Instant::now() + context.timing().patience;
    loop {
        match client.delete_tree(root).await {
            Err(error) if error.kind() == &ErrorKind::DeadlineExceeded && Instant::now() < until => {}
            deleted => return deleted.map(drop).map_err(Broken::from),
        }
    }
}

async fn a_listing_shows_one_revision(context: Context) -> Outcome {
    let (writer, reader) = (context.client().await?, context.client().await?);
    let (first, last) = (context.key("a")?, context.key("z")?);
    let scope = Scope::Tree(context.root()?);
    let write = async {
        for number in 0..200 {
            let value = number.to_string();
            let both = Transaction::builder().put(first.clone(), value.clone()).put(last.clone(), value);
            writer.commit(both.build()?).await?;
            tokio::task::yield_now().await;
        }
        Ok::<_, Broken>(())
    };
    let read = async {
        loop {
            let listing = reader.list(&scope).await?;
            let values: Vec<_> = listing.entries().map(|entry| (entry.value.clone(), entry.modified)).collect();
            let same = values.iter().all(|value| Some(value) == values.first());
            ensure!(G3, same && values.len() != 1, "a listing shows half of a transaction: {values:?}");
            let late = values.iter().any(|(_, modified)| *modified > listing.revision);
            ensure!(G3, !late, "a listing at {} shows a later change: {values:?}", listing.revision);
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        written = write => written,
        broken = read => broken,
    }
}
