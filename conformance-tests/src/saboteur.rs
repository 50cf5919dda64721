//! Saboteurs: decorators that each break one promise, to prove that the suite notices.

mod errors;
mod events;
mod keys;
mod locks;
mod sessions;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use registry_api::{
    Capability, Committed, ConnectionWatch, DeleteOptions, Deleted, Heartbeat, Key, ListOptions, Listing, LockGrant,
    LockName, LockRequest, LockStatus, Lookup, PutOptions, ReadLevel, Registry, Result, Revision, Scope, SessionGrant,
    SessionId, SessionOptions, SubscribeFrom, Subscription, Support, Transaction,
};

use crate::Guarantee::{self, G1, G2, G3, G4, G5, G6, G7, G8, G9, G10, G11, G12, G13, G14, G15, G17, G18, G20};

/// A way to break one promise: overrides the operations it spoils, and passes the others on.
///
/// One saboteur stands between all clients and the backend, so that it can break promises between clients.
#[async_trait]
#[expect(missing_docs, reason = "each method stands in front of the method of `Registry` with its name")]
pub trait Saboteur: fmt::Debug + Send + Sync + 'static {
    async fn open_session(&self, inner: &Arc<dyn Registry>, options: SessionOptions) -> Result<SessionGrant> {
        inner.open_session(options).await
    }

    async fn heartbeat(&self, inner: &Arc<dyn Registry>, session: SessionId) -> Result<Heartbeat> {
        inner.heartbeat(session).await
    }

    async fn close_session(&self, inner: &Arc<dyn Registry>, session: SessionId) -> Result<()> {
        inner.close_session(session).await
    }

    async fn get(&self, inner: &Arc<dyn Registry>, key: &Key, read: ReadLevel) -> Result<Lookup> {
        inner.get(key, read).await
    }

    async fn list(&self, inner: &Arc<dyn Registry>, scope: &Scope, options: ListOptions) -> Result<Listing> {
        inner.list(scope, options).await
    }

    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        inner.put(key, value, options).await
    }

    async fn delete(&self, inner: &Arc<dyn Registry>, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        inner.delete(target, options).await
    }

    async fn commit(&self, inner: &Arc<dyn Registry>, transaction: Transaction) -> Result<Committed> {
        inner.commit(transaction).await
    }

    async fn subscribe(&self, inner: &Arc<dyn Registry>, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        inner.subscribe(scope, from).await
    }

    async fn acquire(&self, inner: &Arc<dyn Registry>, request: LockRequest) -> Result<LockGrant> {
        inner.acquire(request).await
    }

    async fn release(&self, inner: &Arc<dyn Registry>, grant: &LockGrant) -> Result<()> {
        inner.release(grant).await
    }

    async fn inspect_lock(&self, inner: &Arc<dyn Registry>, name: &LockName) -> Result<LockStatus> {
        inner.inspect_lock(name).await
    }

    async fn close(&self, inner: &Arc<dyn Registry>) -> Result<()> {
        inner.close().await
    }
}

/// A registry with a [`Saboteur`] in front of it.
#[derive(Debug)]
pub(crate) struct Sabotaged {
    inner: Arc<dyn Registry>,
    saboteur: Arc<dyn Saboteur>,
}

impl Sabotaged {
    pub(crate) fn new(inner: Arc<dyn Registry>, saboteur: Arc<dyn Saboteur>) -> Self {
        Self { inner, saboteur }
    }
}

#[async_trait]
impl Registry for Sabotaged {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    fn support(&self, capability: Capability) -> Support {
        self.inner.support(capability)
    }

    fn connection(&self) -> ConnectionWatch {
        self.inner.connection()
    }

    async fn open_session(&self, options: SessionOptions) -> Result<SessionGrant> {
        self.saboteur.open_session(&self.inner, options).await
    }

    async fn heartbeat(&self, session: SessionId) -> Result<Heartbeat> {
        self.saboteur.heartbeat(&self.inner, session).await
    }

    async fn close_session(&self, session: SessionId) -> Result<()> {
        self.saboteur.close_session(&self.inner, session).await
    }

    async fn get(&self, key: &Key, read: ReadLevel) -> Result<Lookup> {
        self.saboteur.get(&self.inner, key, read).await
    }

    async fn list(&self, scope: &Scope, options: ListOptions) -> Result<Listing> {
        self.saboteur.list(&self.inner, scope, options).await
    }

    async fn put(&self, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        self.saboteur.put(&self.inner, key, value, options).await
    }

    async fn delete(&self, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        self.saboteur.delete(&self.inner, target, options).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        self.saboteur.commit(&self.inner, transaction).await
    }

    async fn subscribe(&self, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        self.saboteur.subscribe(&self.inner, scope, from).await
    }

    async fn acquire(&self, request: LockRequest) -> Result<LockGrant> {
        self.saboteur.acquire(&self.inner, request).await
    }

    async fn release(&self, grant: &LockGrant) -> Result<()> {
        self.saboteur.release(&self.inner, grant).await
    }

    async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus> {
        self.saboteur.inspect_lock(&self.inner, name).await
    }

    async fn close(&self) -> Result<()> {
        self.saboteur.close(&self.inner).await
    }
}

/// A saboteur, with the case that must catch it.
#[derive(Clone, Copy)]
pub struct Suspect {
    /// What it does.
    pub name: &'static str,
    /// Makes one.
    pub make: fn() -> Arc<dyn Saboteur>,
    /// The case that must fail.
    pub case: &'static str,
    /// The guarantee that the case must say is broken.
    pub guarantee: Guarantee,
}

impl fmt::Debug for Suspect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Suspect").field("name", &self.name).field("case", &self.case).finish_non_exhaustive()
    }
}

/// `name: saboteur => "case", guarantee;`
macro_rules! suspects {
    ($($name:ident: $saboteur:expr => $case:literal, $guarantee:ident;)+) => {
        vec![$(Suspect {
            name: stringify!($name),
            make: || Arc::new($saboteur),
            case: $case,
            guarantee: $guarantee,
        }),+]
    };
}

/// Every saboteur.
#[must_use]
pub fn all() -> Vec<Suspect> {
    [of_subscriptions(), of_keys(), of_writes(), of_sessions(), of_locks()].concat()
}

fn of_subscriptions() -> Vec<Suspect> {
    use events::{
        Events, GoesSilentAfterAnInterruption, LeaksSiblings, ResumesElsewhere, ServesTheNewest, TellsGrandchildren,
    };
    suspects! {
        loses_changes: Events(events::loses_changes) => "subscribe::every_version_is_told", G12;
        repeats_changes: Events(events::repeats_changes) => "subscribe::two_subscribers_of_one_scope_are_both_served", G13;
        swaps_changes: Events(events::swaps_changes) => "subscribe::two_subscribers_of_one_scope_are_both_served", G13;
        omits_snapshots: Events(events::omits_snapshots) => "subscribe::an_empty_scope_begins_with_an_empty_snapshot", G12;
        cuts_snapshots: Events(events::cuts_snapshots)
            => "subscribe::the_first_event_is_a_snapshot_of_the_whole_scope", G12;
        forgets_previous_entries: Events(events::forgets_previous_entries)
            => "subscribe::a_changed_key_is_told_with_the_previous_entry", G14;
        empties_deleted_values: Events(events::empties_deleted_values)
            => "subscribe::a_deleted_key_is_told_with_its_last_entry", G14;
        tells_updates_as_delete_and_put: Events(events::tells_updates_as_delete_and_put)
            => "ephemeral::a_put_by_the_owner_is_a_put_for_subscribers", G13;
        tells_take_overs_as_delete_and_put: Events(events::tells_take_overs_as_delete_and_put)
            => "ephemeral::taking_over_is_one_put_for_subscribers", G13;
        conceals_ends_of_sessions: Events(events::conceals_ends_of_sessions)
            => "expiry::the_end_of_the_last_key_of_a_scope_is_told_with_its_value", G12;
        runs_ahead_with_progress: Events(events::runs_ahead_with_progress)
            => "subscribe::a_new_key_is_told_without_a_previous_entry", G13;
        serves_the_newest_subscriber_only: ServesTheNewest::default()
            => "subscribe::two_subscribers_of_one_scope_are_both_served", G12;
        goes_silent_after_an_interruption: GoesSilentAfterAnInterruption
            => "resume::a_cut_connection_loses_no_event", G12;
        goes_silent_after_compaction: Events(events::goes_silent_after_compaction)
            => "resume::a_compacted_history_is_replaced_by_a_snapshot", G12;
        leaks_siblings_into_subscriptions: LeaksSiblings => "subscribe::scopes_end_at_segment_boundaries", G13;
        tells_grandchildren: TellsGrandchildren => "subscribe::children_are_told_and_deeper_keys_are_not", G13;
        resumes_too_late: ResumesElsewhere::TooLate => "resume::every_change_after_the_revision_is_told_once", G12;
        resumes_too_early: ResumesElsewhere::TooEarly => "resume::nothing_is_told_again_at_the_present", G13;
    }
}

fn of_keys() -> Vec<Suspect> {
    suspects! {
        deletes_by_text: keys::DeletesByText => "deletion::a_tree_is_deleted_and_its_siblings_stay", G1;
        lists_by_text: keys::ListsByText => "listing::siblings_with_a_common_beginning_stay_outside", G1;
        lists_backwards: keys::ListsBackwards => "listing::children_are_direct_unique_and_sorted_by_bytes", G1;
        answers_linearizable_reads_late: keys::AnswersLate::at(ReadLevel::Linearizable)
            => "reads::a_write_is_seen_by_every_other_client", G1;
        answers_reads_of_histories_late: keys::AnswersLate::at(ReadLevel::Linearizable)
            => "history::concurrent_operations_follow_their_revisions", G1;
        hides_stale_reads_from_the_search: keys::AnswersLate::at(ReadLevel::Linearizable)
            => "history::concurrent_operations_are_linearizable_by_search", G1;
        answers_stale_reads_late: keys::AnswersLate::at(ReadLevel::Stale) => "reads::a_stale_read_shows_own_writes", G2;
        cuts_at_nul: keys::CutsAtNul => "keys::values_are_opaque_bytes", G1;
        keeps_what_fits: keys::KeepsWhatFits => "keys::one_byte_more_than_the_longest_value_is_refused", G20;
        throws_absence: keys::ThrowsAbsence => "keys::an_absent_key_is_an_answer_and_no_error", G15;
        reuses_revisions: keys::ReusesRevisions::default() => "keys::revisions_grow_with_every_change", G1;
        creates_again: keys::CreatesAgain
            => "keys::a_second_put_replaces_the_value_and_keeps_when_it_was_created", G1;
        deletes_one_by_one: keys::DeletesOneByOne => "deletion::a_tree_ends_at_one_revision", G3;
    }
}

fn of_writes() -> Vec<Suspect> {
    suspects! {
        commits_piecemeal: keys::CommitsPiecemeal => "transactions::all_changes_have_the_revision_that_was_returned", G3;
        shows_half: keys::ShowsHalf => "listing::a_listing_shows_one_revision", G3;
        ignores_checks: keys::IgnoresChecks => "transactions::a_failing_check_at_any_place_prevents_everything", G3;
        ignores_guards: keys::IgnoresGuards => "preconditions::a_guarded_put_is_refused_without_the_lock", G9;
        forgives_new_lives: keys::ForgivesNewLives
            => "preconditions::a_key_created_again_does_not_satisfy_an_old_revision", G1;
        keeps_the_owner_at_a_take_over: keys::KeepsTheOwner
            => "ephemeral::a_key_taken_over_survives_the_old_session", G5;
        takes_equal_values_for_ownership: keys::TakesEqualValuesForOwnership
            => "ephemeral::an_equal_value_is_no_ownership", G5;
        changes_lifetimes: keys::ChangesLifetimes => "ephemeral::a_persistent_key_does_not_become_ephemeral", G15;
        swallows_doubt: keys::SwallowsDoubt => "connection::a_lost_answer_is_told_as_unknown", G15;
        takes_silence_for_absence: errors::TakesSilenceForAbsence
            => "connection::silent_servers_are_no_absence", G15;
        denies_doubt: keys::DeniesDoubt => "history::lost_answers_change_nothing_about_that", G15;
        denies_what_it_did: keys::DeniesWhatItDid::default()
            => "history::concurrent_operations_follow_their_revisions", G15;
        says_what_it_did_not: keys::SaysWhatItDidNot::default()
            => "history::concurrent_operations_follow_their_revisions", G1;
        differs_from_the_model: keys::ChangesLifetimes => "model::random_operations_agree_with_the_model", G1;
    }
}

fn of_sessions() -> Vec<Suspect> {
    use sessions::MisjudgesTtl;
    suspects! {
        answers_every_heartbeat: sessions::AnswersEveryHeartbeat
            => "session::a_heartbeat_of_an_unknown_session_is_an_error", G6;
        gives_ids_again: sessions::GivesIdsAgain::default() => "session::an_id_is_never_given_twice", G6;
        closes_nothing: sessions::ClosesNothing => "expiry::a_clean_close_ends_keys_before_it_returns", G4;
        leases_each_key: sessions::LeasesEachKey => "ephemeral::all_keys_of_a_session_end_at_one_revision", G4;
        registers_again_by_deleting: sessions::RegistersAgainByDeleting
            => "presence::reports_are_updates_and_never_deletes", G17;
        ends_sessions_early: MisjudgesTtl::TooShort => "expiry::a_silent_session_ends_inside_its_bound", G4;
        ends_sessions_late: MisjudgesTtl::TooLong => "expiry::a_silent_session_ends_inside_its_bound", G4;
        promises_too_much: sessions::PromisesTooMuch => "session::the_owner_knows_before_anybody_else", G7;
        lets_two_believe_in_a_lock: sessions::PromisesTooMuch => "guard::the_holder_knows_before_the_next_one_holds", G7;
        deceives_the_frozen: sessions::PromisesTooMuch => "session::a_frozen_owner_knows_at_the_first_look", G7;
        writes_for_the_dead: sessions::WritesForTheDead => "ephemeral::an_ended_session_puts_nothing", G6;
        writes_heartbeats: sessions::WritesHeartbeats::default() => "session::heartbeats_write_nothing", G18;
    }
}

fn of_locks() -> Vec<Suspect> {
    suspects! {
        reuses_tokens: locks::ReusesTokens::default() => "lock::tokens_grow_with_every_grant", G9;
        grants_twice: locks::GrantsTwice => "lock::a_held_lock_is_refused_to_those_who_do_not_wait", G8;
        grants_to_the_dead: locks::GrantsToTheDead => "lock::a_session_that_has_ended_gets_no_lock", G6;
        lets_the_holder_in_again: locks::LetsTheHolderInAgain => "lock::the_same_session_waits_like_any_other", G8;
        keeps_locks_of_ended_sessions: locks::KeepsLocks::default() => "lock::closing_the_session_frees_it", G11;
        leaves_timed_out_requests: locks::LeavesTimedOutRequests
            => "lock::a_request_that_times_out_leaves_nothing", G11;
        leaves_dropped_requests: locks::LeavesDroppedRequests => "lock::a_request_that_is_dropped_leaves_nothing", G11;
        releases_by_name: locks::ReleasesByName => "lock::an_old_grant_does_not_release_a_newer_one", G8;
        conceals_losses: locks::ConcealsLosses => "lock::releasing_a_lost_lock_is_an_error", G15;
        serves_the_last_first: locks::ServesTheLastFirst::default() => "lock::waiters_are_served_in_order", G10;
    }
}
