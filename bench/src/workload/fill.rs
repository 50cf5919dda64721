//! Fills a store with many keys, quickly.

use futures::{StreamExt as _, TryStreamExt as _};
use registry_api::{Key, RegistryClient, TRANSACTION_LEN_MAX, Transaction};

use super::keys::value;
use crate::{Outcome, line};

const TRANSACTIONS_AT_ONCE: usize = 16;
/// Keys of one parent.
const SIBLINGS: usize = 1000;

/// Puts the keys 0 to `count`, many in a transaction, where they are not there yet.
pub(super) async fn fill(client: &RegistryClient, count: usize) -> Outcome<()> {
    if client.get(&key(count.saturating_sub(1))?).await.map_err(line)?.is_some() {
        return Ok(());
    }
    let transactions = (0..count).step_by(TRANSACTION_LEN_MAX).map(|first| async move {
        let keys = first..(first + TRANSACTION_LEN_MAX).min(count);
        let mut transaction = Transaction::builder();
        for number in keys {
            transaction = transaction.put(key(number)?, value());
        }
        client.commit(transaction.build().map_err(line)?).await.map(drop).map_err(line)
    });
    futures::stream::iter(transactions).buffer_unordered(TRANSACTIONS_AT_ONCE).try_collect().await
}

/// The key of this number.
pub(crate) fn key(number: usize) -> Outcome<Key> {
    format!("/bench/fill/{}/{number}", number / SIBLINGS).parse().map_err(line)
}
