//! Single keys: put, get and delete, values, names and revisions.

use bytes::Bytes;
use registry_api::{Entry, ErrorKind, KEY_LEN_MAX, Key, RegistryClient, SEGMENT_LEN_MAX, Scope, VALUE_LEN_MAX};

use crate::Guarantee::{G1, G2, G15, G20};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::refusal::refused;
use crate::{Broken, Case, Context, Guarantee, Outcome};

pub(super) fn cases() -> Vec<Case> {
    cases!["keys";
        a_value_that_was_put_is_read_back => [G2];
        an_absent_key_is_an_answer_and_no_error => [G15, G1];
        a_deleted_key_is_absent => [G1];
        a_second_put_replaces_the_value_and_keeps_when_it_was_created => [G1];
        an_entry_tells_the_revisions_that_its_puts_returned => [G1];
        the_same_value_again_is_a_change => [G1];
        revisions_grow_with_every_change => [G1];
        a_key_created_again_has_a_new_created_revision => [G1];
        an_empty_value_is_a_value => [G1];
        values_are_opaque_bytes => [G1];
        the_longest_value_is_kept_whole => [G1, G20];
        one_byte_more_than_the_longest_value_is_refused => [G20, G15];
        siblings_with_a_common_beginning_are_distinct => [G1];
        names_in_unicode_come_back_unchanged => [G1];
        names_that_look_special_are_names => [G1];
        the_longest_key_and_segment_are_stored => [G1];
        texts_that_are_no_keys_are_refused => [G20];
        a_parent_does_not_exist_because_its_child_does => [G1];
        a_lookup_tells_a_revision_that_covers_the_entry => [G1];
    ]
}

/// The entry of a key that must exist.
pub(super) async fn present(client: &RegistryClient, key: &Key, blamed: Guarantee) -> Outcome<Entry> {
    client.get(key).await?.ok_or_else(|| Broken::new(blamed, format!("{key} must exist, and does not")))
}

/// Fails unless the key is absent.
pub(super) async fn absent(client: &RegistryClient, key: &Key, blamed: Guarantee) -> Outcome {
    match client.get(key).await? {
        None => Ok(()),
        Some(entry) => Err(Broken::new(blamed, format!("{key} must not exist, and is {entry:?}"))),
    }
}

async fn a_value_that_was_put_is_read_back(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a/b")?;
    client.put(&key, "value").await?;
    let entry = present(&client, &key, G2).await?;
    ensure_eq!(G2, entry.value, Bytes::from("value"), "the value of {key}");
    ensure_eq!(G2, entry.key, key, "the key of the entry");
    ensure_eq!(G2, entry.owner, None, "the owner of a persistent key");
    Ok(())
}

async fn an_absent_key_is_an_answer_and_no_error(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("absent")?;
    match client.get(&key).await {
        Ok(entry) => ensure_eq!(G1, entry, None, "the entry of a key that was never put"),
        Err(error) => return Err(Broken::new(G15, format!("reading an absent key failed: {error}"))),
    }
    match client.delete(&key).await {
        Ok(deleted) => ensure_eq!(G1, deleted.count, 0, "how many keys the delete of an absent key deleted"),
        Err(error) => return Err(Broken::new(G15, format!("deleting an absent key failed: {error}"))),
    }
    Ok(())
}

async fn a_deleted_key_is_absent(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    client.put(&key, "value").await?;
    let deleted = client.delete(&key).await?;
    ensure_eq!(G1, deleted.count, 1, "how many keys were deleted");
    absent(&client, &key, G1).await
}

async fn a_second_put_replaces_the_value_and_keeps_when_it_was_created(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let created = client.put(&key, "one").await?;
    let modified = client.put(&key, "two").await?;
    let entry = present(&client, &key, G1).await?;
    ensure_eq!(G1, entry.value, Bytes::from("two"), "the value after the second put");
    ensure_eq!(G1, (entry.created, entry.modified), (created, modified), "created and modified after the second put");
    Ok(())
}

async fn an_entry_tells_the_revisions_that_its_puts_returned(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let revision = client.put(&key, "one").await?;
    let entry = present(&client, &key, G1).await?;
    ensure_eq!(G1, (entry.created, entry.modified), (revision, revision), "created and modified of a new key");
    Ok(())
}

async fn the_same_value_again_is_a_change(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let first = client.put(&key, "same").await?;
    let second = client.put(&key, "same").await?;
    ensure!(G1, second > first, "putting the same value again gave revision {second} after {first}");
    ensure_eq!(G1, present(&client, &key, G1).await?.modified, second, "modified after the second put");
    Ok(())
}

async fn revisions_grow_with_every_change(context: Context) -> Outcome {
    let (one, other) = (context.client().await?, context.client().await?);
    let mut last = one.put(&context.key("0")?, "").await?;
    for number in 1..50 {
        let key = context.key(&number.to_string())?;
        let put = if number % 2 == 0 { one.put(&key, "").await? } else { other.put(&key, "").await? };
        ensure!(G1, put > last, "the put of {key} has revision {put}, not after {last}");
        let deleted = one.delete(&key).await?.revision;
        ensure!(G1, deleted > put, "the delete of {key} has revision {deleted}, not after {put}");
        last = deleted;
    }
    Ok(())
}

async fn a_key_created_again_has_a_new_created_revision(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let first = client.put(&key, "value").await?;
    client.delete(&key).await?;
    let second = client.put(&key, "value").await?;
    ensure!(G1, second > first, "created again at {second}, not after {first}");
    ensure_eq!(G1, present(&client, &key, G1).await?.created, second, "created of a key that was created again");
    Ok(())
}

async fn an_empty_value_is_a_value(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    client.put(&key, Bytes::new()).await?;
    ensure_eq!(G1, present(&client, &key, G1).await?.value, Bytes::new(), "an empty value");
    Ok(())
}

async fn values_are_opaque_bytes(context: Context) -> Outcome {
    let client = context.client().await?;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let values: [&[u8]; 8] = [b"\0", b"a\0b", b"\xff\xfe\xc0", b"@", b"/", b"\r\n", b"{\"a\":1}", &every_byte];
    for (number, value) in values.into_iter().enumerate() {
        let key = context.key(&number.to_string())?;
        client.put(&key, Bytes::copy_from_slice(value)).await?;
        ensure_eq!(G1, &*present(&client, &key, G1).await?.value, value, "the bytes of value {number}");
    }
    Ok(())
}

async fn the_longest_value_is_kept_whole(context: Context) -> Outcome {
    let (client, other) = (context.client().await?, context.client().await?);
    let key = context.key("a")?;
    let value: Bytes = (0..VALUE_LEN_MAX).map(|at| u8::try_from(at % 251).unwrap_or_default()).collect();
    client.put(&key, value.clone()).await?;
    let read = present(&other, &key, G1).await?.value;
    ensure!(G1, read == value, "a value of {} bytes came back changed, with {} bytes", value.len(), read.len());
    Ok(())
}

async fn one_byte_more_than_the_longest_value_is_refused(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    client.put(&key, "before").await?;
    let result = client.registry().put(&key, Bytes::from(vec![7; VALUE_LEN_MAX + 1]), Default::default()).await;
    refused(G20, "a value one byte too long", result, &ErrorKind::InvalidArgument)?;
    ensure_eq!(G15, present(&client, &key, G15).await?.value, Bytes::from("before"), "the value after a refused put");
    Ok(())
}

async fn siblings_with_a_common_beginning_are_distinct(context: Context) -> Outcome {
    let client = context.client().await?;
    for (one, other) in [("1", "10"), ("nodes/master", "nodes/master-coordinator"), ("a", "a b"), ("b", "b.c")] {
        let (one, other) = (context.key(one)?, context.key(other)?);
        client.put(&one, "one").await?;
        absent(&client, &other, G1).await?;
        client.put(&other, "other").await?;
        ensure_eq!(G1, present(&client, &one, G1).await?.value, Bytes::from("one"), "{one} beside {other}");
        client.delete(&one).await?;
        ensure_eq!(G1, present(&client, &other, G1).await?.value, Bytes::from("other"), "{other} without {one}");
    }
    Ok(())
}

async fn names_in_unicode_come_back_unchanged(context: Context) -> Outcome {
    let client = context.client().await?;
    // The two forms of the accented letter are different names: nothing is normalized.
    let names = ["工作流", "Ж", "caf\u{e9}", "cafe\u{301}", "🦀", "\u{10FFFD}", "ﬀ", "ß", "ẞ", "١"];
    for name in names {
        client.put(&context.key(&format!("names/{name}"))?, name).await?;
    }
    let listing = client.list(&Scope::Children(context.key("names")?)).await?;
    ensure_eq!(G1, listing.children.len(), names.len(), "how many names there are");
    for entry in listing.entries() {
        ensure_eq!(G1, &*entry.value, entry.key.name().as_bytes(), "the value under the name {}", entry.key);
    }
    Ok(())
}

async fn names_that_look_special_are_names(context: Context) -> Outcome {
    let client = context.client().await?;
    let names =
        ["...", "*", "**", "%2F", "\\", "a b", " ", "_", "-", "+", "?", "#", "~", "$", "'", "\"", "a=b", "lock-"];
    for name in names {
        client.put(&context.key(&format!("names/{name}"))?, name).await?;
    }
    let keys: Vec<_> = client.list(&Scope::Children(context.key("names")?)).await?.keys().cloned().collect();
    for name in names {
        let key = context.key(&format!("names/{name}"))?;
        ensure!(G1, keys.contains(&key), "{key} is missing in the listing {keys:?}");
        ensure_eq!(G1, &*present(&client, &key, G1).await?.value, name.as_bytes(), "the value of {key}");
    }
    ensure_eq!(G1, keys.len(), names.len(), "how many names there are");
    Ok(())
}

async fn the_longest_key_and_segment_are_stored(context: Context) -> Outcome {
    let client = context.client().await?;
    let segment = "s".repeat(SEGMENT_LEN_MAX);
    let mut longest = context.key(&segment)?;
    while KEY_LEN_MAX - longest.as_str().len() > SEGMENT_LEN_MAX {
        longest = longest.join(&segment)?;
    }
    let rest = KEY_LEN_MAX - longest.as_str().len();
    if rest > 1 {
        longest = longest.join(&"r".repeat(rest - 1))?;
    }
    ensure!(G1, longest.as_str().len() >= KEY_LEN_MAX - 1, "the test made too short a key");
    client.put(&longest, "deep").await?;
    ensure_eq!(G1, present(&client, &longest, G1).await?.value, Bytes::from("deep"), "the value of the longest key");
    let listing = client.list(&Scope::Tree(context.root()?)).await?;
    ensure_eq!(G1, listing.keys().collect::<Vec<_>>(), [&longest], "the tree around the longest key");
    Ok(())
}

async fn texts_that_are_no_keys_are_refused(_context: Context) -> Outcome {
    let long = format!("/{}", "s".repeat(SEGMENT_LEN_MAX + 1));
    let texts = ["", "/", "a", "//", "/a/", "/a//b", "/.", "/..", "/a/./b", "/a\0b", "/a\nb", "/\u{7f}", "/\u{E000}"];
    for text in texts.into_iter().chain(["/\u{FFFF}", "/zookeeper", "/zookeeper/a", long.as_str()]) {
        ensure!(G20, Key::parse(text).is_err(), "{text:?} is taken for a key");
    }
    Ok(())
}

async fn a_parent_does_not_exist_because_its_child_does(context: Context) -> Outcome {
    let client = context.client().await?;
    client.put(&context.key("a/b/c")?, "deep").await?;
    absent(&client, &context.key("a/b")?, G1).await?;
    absent(&client, &context.key("a")?, G1).await?;
    client.put(&context.key("a")?, "late parent").await?;
    let child = present(&client, &context.key("a/b/c")?, G1).await?;
    ensure_eq!(G1, child.value, Bytes::from("deep"), "the child of a parent that was put later");
    Ok(())
}

async fn a_lookup_tells_a_revision_that_covers_the_entry(context: Context) -> Outcome {
    let client = context.client().await?;
    let key = context.key("a")?;
    let put = client.put(&key, "value").await?;
    let lookup = client.lookup(&key, registry_api::ReadLevel::Linearizable).await?;
    ensure!(G1, lookup.revision >= put, "a lookup after the put at {put} was served at {}", lookup.revision);
    let later = client.lookup(&context.key("absent")?, registry_api::ReadLevel::Linearizable).await?;
    ensure!(G1, later.revision >= lookup.revision, "a later lookup was served at {}, earlier", later.revision);
    Ok(())
}
