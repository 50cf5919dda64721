//! Forgetting: how many ended instances, refused results and deaths are kept, so that nothing grows without end.

use registry_api::{Key, ListContents, ListOptions, RegistryClient, Result, Scope};

use super::view::View;
use crate::name::Name;
use crate::state::keys;

/// How many entries of the dead list are kept.
pub(crate) const DEATHS_KEPT: usize = 200;

/// Deletes the oldest ended instances beyond `kept`. Stopping in the middle is harmless: the instance itself goes last.
pub(crate) async fn forget_old(client: &RegistryClient, view: &View, kept: usize) -> Result<()> {
    let mut ended: Vec<(u64, Name)> = view
        .instances()
        .into_iter()
        .filter(|(_, record)| record.state.is_final())
        .map(|(name, record)| (record.submitted_at, name))
        .collect();
    ended.sort();
    let surplus = ended.len().saturating_sub(kept);
    for (_, instance) in ended.into_iter().take(surplus) {
        client.delete_tree(&keys::tasks(&instance)).await?;
        client.delete_tree(&keys::refused_of(&instance)).await?;
        client.delete_tree(&keys::inbox(&instance)).await?;
        client.delete(&keys::plan(&instance)).await?;
        client.delete(&keys::instance(&instance)).await?;
    }
    Ok(())
}

/// Deletes the oldest entries of the dead list beyond [`DEATHS_KEPT`], by the revision at which they were made.
pub(crate) async fn forget_deaths(client: &RegistryClient) -> Result<()> {
    let options = ListOptions { contents: ListContents::KeysOnly, ..ListOptions::default() };
    let listing = client.list_with(&Scope::Tree(keys::dead()), options).await?;
    let mut deaths: Vec<_> = listing.entries().map(|entry| (entry.created, entry.key.clone())).collect();
    deaths.sort();
    let surplus = deaths.len().saturating_sub(DEATHS_KEPT);
    let old: Vec<Key> = deaths.into_iter().take(surplus).map(|(_, key)| key).collect();
    for key in old {
        client.delete(&key).await?;
    }
    Ok(())
}
