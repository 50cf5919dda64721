//! Random logs: against the model, twice, and through snapshots at every point.

use proptest::prelude::*;
use registry_api::{Key, ListContents, LockName, Revision, Scope};

use super::bench::{SMALL, bytes_of, decode, key, lock_name, proposal};
use super::model::{Model, ModelEntry, ModelEvent};
use crate::convert::transaction_of;
use crate::proto::command::Command;
use crate::proto::{self, Batch, Proposal, outcome};
use crate::state_machine::{Change, Place, StateMachine};

const KEYS: [&str; 12] =
    ["/a", "/a-b", "/a/1", "/a/10", "/a/1/x", "/a/1-x", "/a/1/x/y", "/b", "/b/c/d/e", "/b/c-c", "/b/c/d", "/z"];
const LOCKS: [&str; 2] = ["/l", "/m"];

/// What a command refers to, by numbers that always mean something.
#[derive(Clone, Debug)]
struct Choice {
    what: u8,
    keys: [prop::sample::Index; 3],
    session: u64,
    precondition: u8,
    past: prop::sample::Index,
    flag: bool,
    value: u8,
    ticket: u64,
    client: u64,
    again: bool,
}

fn choice() -> impl Strategy<Value = Choice> {
    let index = any::<prop::sample::Index>;
    let first = (0u8..32, [index(), index(), index()], 0u64..8, 0u8..12, index());
    let second = (any::<bool>(), 0u8..60, 0u64..6, 0u64..6, prop::bool::weighted(0.15));
    (first, second).prop_map(|((what, keys, session, precondition, past), (flag, value, ticket, client, again))| {
        Choice { what, keys, session, precondition, past, flag, value, ticket, client, again }
    })
}

fn key_of(choice: &Choice, at: usize) -> String {
    choice.keys[at].get(&KEYS).to_string()
}

fn scope_of(choice: &Choice) -> proto::Scope {
    use proto::scope::Scope::{All, Children, Key, Tree};
    let scope = match choice.ticket % 3 {
        0 => Tree(key_of(choice, 0)),
        1 => Children(key_of(choice, 0)),
        _ if choice.value < 4 => All(true),
        _ => Key(key_of(choice, 0)),
    };
    proto::Scope { scope: Some(scope) }
}

fn revision(counter: u64) -> proto::Revision {
    proto::Revision { incarnation: 1, counter }
}

fn grant_of(choice: &Choice, model: &Model) -> proto::LockGrant {
    let never = proto::LockGrant { name: "/l".to_owned(), session: 1, token: Some(revision(0)) };
    // The last one is often still held.
    match model.grants.last() {
        Some(last) if choice.flag => last.clone(),
        Some(_) => choice.past.get(&model.grants).clone(),
        None => never,
    }
}

fn precondition_of(choice: &Choice, model: &Model) -> Option<proto::Precondition> {
    use proto::precondition::Precondition::{Absent, At, LockHeld, OwnedBy};
    let modified = model.keys.get(&key_of(choice, 0)).map_or(1, |entry| entry.modified);
    let precondition = match choice.precondition {
        0 => Absent(true),
        1 => At(revision(modified)),
        2 => At(revision(model.revision)),
        3 => OwnedBy(choice.session + 1),
        4 => LockHeld(grant_of(choice, model)),
        _ => return None,
    };
    Some(proto::Precondition { precondition: Some(precondition) })
}

fn put_of(choice: &Choice, at: usize, precondition: Option<proto::Precondition>) -> proto::Put {
    let session = if choice.value.is_multiple_of(2) { 0 } else { choice.session };
    let value = vec![choice.value; usize::from(choice.value)].into();
    proto::Put { key: key_of(choice, at), value, session, precondition, take_over: choice.flag }
}

fn commit_of(choice: &Choice, model: &Model) -> proto::Commit {
    let precondition = precondition_of(choice, model);
    let is_lock = precondition.as_ref().is_some_and(|precondition| {
        matches!(precondition.precondition, Some(proto::precondition::Precondition::LockHeld(_)))
    });
    let check = |precondition| {
        let key = if is_lock { String::new() } else { key_of(choice, 0) };
        proto::Check { key, precondition: Some(precondition) }
    };
    let delete = proto::mutation::Mutation::Delete(key_of(choice, 2));
    let put = |at| proto::mutation::Mutation::Put(put_of(choice, at, None));
    let mutations = if choice.flag { vec![delete, put(0), put(1)] } else { vec![put(0), delete, put(1)] };
    let mutations = mutations.into_iter().map(|mutation| proto::Mutation { mutation: Some(mutation) });
    proto::Commit { checks: precondition.map(check).into_iter().collect(), mutations: mutations.collect() }
}

fn command_of(choice: &Choice, model: &Model) -> Option<Command> {
    let name = choice.keys[1].get(&LOCKS).to_string();
    let (session, ticket) = (choice.session, choice.ticket);
    Some(match choice.what {
        0..=8 => Command::Put(put_of(choice, 0, precondition_of(choice, model))),
        9..=11 => {
            let precondition = precondition_of(choice, model);
            let delete = proto::Delete { target: Some(scope_of(choice)), precondition };
            crate::convert::delete_parts(&delete).ok()?;
            Command::Delete(delete)
        }
        12..=16 => {
            let commit = commit_of(choice, model);
            transaction_of(&commit).ok()?;
            Command::Commit(commit)
        }
        17..=19 => Command::OpenSession(proto::OpenSession { ttl_ms: 10_000, label: format!("{}", choice.value) }),
        20..=21 => {
            let certificate = choice.flag.then(proto::DeathCertificate::default);
            Command::EndSession(proto::EndSession { session, certificate })
        }
        22..=26 => Command::Acquire(proto::Acquire { name, session, only_if_free: choice.value == 0, ticket }),
        27..=28 => Command::Abandon(proto::Abandon { name, session, ticket }),
        _ => Command::Release(proto::Release { grant: Some(grant_of(choice, model)) }),
    })
}

fn without_words(outcome: &outcome::Outcome) -> Result<outcome::Outcome, super::model::Refused> {
    match outcome {
        outcome::Outcome::Refused(refusal) => Err((refusal.failure(), refusal.key.clone(), refusal.owner)),
        outcome => Ok(outcome.clone()),
    }
}

fn model_entry(entry: &registry_api::Entry) -> ModelEntry {
    ModelEntry {
        value: entry.value.to_vec(),
        created: entry.created.counter,
        modified: entry.modified.counter,
        owner: entry.owner.map_or(0, |owner| owner.get()),
    }
}

fn model_event(change: &Change) -> ModelEvent {
    match change {
        Change::Put { entry, previous } => {
            let previous = previous.as_ref().map(|entry| model_entry(entry));
            (entry.modified.counter, entry.key.to_string(), previous, Some(model_entry(entry)))
        }
        Change::Delete { previous, revision } => {
            (revision.counter, previous.key.to_string(), Some(model_entry(previous)), None)
        }
        change => panic!("{change:?}"),
    }
}

fn scopes() -> Vec<Scope> {
    let of = |key: &Key| [Scope::Key(key.clone()), Scope::Children(key.clone()), Scope::Tree(key.clone())];
    KEYS.iter().flat_map(|text| of(&key(text))).chain([Scope::All, Scope::Children(key("/b/c"))]).collect()
}

fn assert_same_listings(machine: &StateMachine, model: &Model) {
    for scope in scopes() {
        let entries = model.keys.iter().filter(|(text, _)| scope.contains(&key(text)));
        let mut expected: Vec<_> = entries.map(|(text, entry)| (text.clone(), Some(entry.clone()))).collect();
        if let Scope::Children(parent) = &scope {
            let prefix = format!("{parent}/");
            for name in model.keys.keys().filter_map(|text| text.strip_prefix(&prefix)?.split_once('/')) {
                let child = format!("{prefix}{}", name.0);
                if !expected.iter().any(|(text, _)| *text == child) {
                    expected.push((child, None));
                }
            }
        }
        expected.sort_by(|left, right| left.0.cmp(&right.0));
        let found = |listing: &registry_api::Listing| -> Vec<_> {
            let child = |child: &registry_api::Child| (child.key.to_string(), child.entry.as_ref().map(model_entry));
            listing.children.iter().map(child).collect()
        };
        let whole = machine.list(&scope, ListContents::Entries, None, None);
        assert_eq!(found(&whole), expected, "{scope}");
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = machine.list(&scope, ListContents::Entries, std::num::NonZeroUsize::new(2), after.as_ref());
            pages.extend(found(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(pages, expected, "{scope} in pages");
    }
}

fn assert_same_history(machine: &StateMachine, model: &Model) {
    let mut revisions: Vec<u64> = model.events.iter().map(|event| event.0).collect();
    revisions.dedup();
    let lost = revisions.len().saturating_sub(model.limits.history_revisions);
    let begins_after = if lost == 0 { 0 } else { revisions[lost - 1] };
    for after in [0, begins_after.saturating_sub(1), begins_after, begins_after + 1, model.revision] {
        for scope in scopes() {
            let found = machine.events_after(&scope, Revision::new(1, after));
            let found: Option<Vec<_>> = found.map(|changes| changes.map(|change| model_event(&change)).collect());
            let expected = model.events.iter().filter(|event| event.0 > after && scope.contains(&key(&event.1)));
            let expected: Option<Vec<_>> = (after >= begins_after).then(|| expected.cloned().collect());
            assert_eq!(found, expected, "{scope} after {after}");
        }
    }
}

fn assert_same_locks(machine: &StateMachine, model: &Model) {
    for name in LOCKS {
        let expected = model.locks.get(name).cloned().unwrap_or_default();
        let found = machine.lock(&lock_name(name));
        let holder = found.holder.map(|grant| (grant.session.get(), grant.token.revision().counter));
        assert_eq!(holder, expected.first().map(|place| (place.0, place.2)));
        let waiters: Vec<u64> = found.waiters.iter().map(|waiter| waiter.session.get()).collect();
        assert_eq!(waiters, expected.iter().skip(1).map(|place| place.0).collect::<Vec<_>>());
        for (index, place) in expected.iter().enumerate() {
            let stands = machine.grant_of(&lock_name(name), registry_api::SessionId::new(place.0), place.1);
            assert_eq!(matches!(stands, Place::Granted(_)), index == 0);
            assert_eq!(stands == Place::Queued, index > 0);
        }
    }
}

fn assert_same(machine: &StateMachine, model: &Model) {
    assert_eq!(machine.revision(), Revision::new(1, model.revision));
    assert_same_listings(machine, model);
    assert_same_history(machine, model);
    assert_same_locks(machine, model);
    let sessions: Vec<_> = machine.sessions().map(|session| (session.id.get(), session.label.to_owned())).collect();
    assert_eq!(sessions, model.sessions.clone().into_iter().collect::<Vec<_>>());
    let deaths: Vec<_> = machine.deaths().map(|certificate| certificate.session).collect();
    let kept = model.deaths.len().saturating_sub(model.limits.deaths);
    assert_eq!(deaths, model.deaths[kept..]);
}

/// The log that the choices make: with client identities, and with copies of what was sent before.
fn log_of(choices: &[Choice]) -> Vec<Proposal> {
    let mut model = Model::new(&SMALL);
    let mut sequences = [0u64; 6];
    let register = |nonce: u8| {
        let nonce = vec![nonce].into();
        Command::RegisterClient(proto::RegisterClient { nonce, label: String::new() })
    };
    // Most commands come from identities that exist.
    let mut log: Vec<Proposal> = (1..=4).map(|nonce| proposal(register(nonce))).collect();
    for choice in choices {
        if choice.again && !log.is_empty() {
            log.push(choice.past.get(&log).clone());
            continue;
        }
        let Some(command) =
            (if choice.what == 31 { Some(register(choice.value % 6 + 1)) } else { command_of(choice, &model) })
        else {
            continue;
        };
        if choice.what != 31 {
            let _ = model.run(&command);
        }
        let client = usize::try_from(choice.client).unwrap();
        sequences[client] += 1;
        let sequence = sequences[client];
        let answered_below = sequence.saturating_sub(choice.ticket * 2);
        log.push(Proposal { client: choice.client, sequence, answered_below, ..proposal(command) });
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_command_does_what_the_model_says(choices in prop::collection::vec(choice(), 1..80)) {
        let mut machine = StateMachine::with_limits(&SMALL);
        let mut model = Model::new(&SMALL);
        for choice in &choices {
            let Some(command) = command_of(choice, &model) else { continue };
            let expected = model.run(&command);
            let applied = machine.apply(&Batch { proposals: vec![proposal(command.clone())] }).unwrap();
            let outcome = &applied.outcomes[0];
            prop_assert_eq!(without_words(outcome.outcome.as_ref().unwrap()), expected, "{:?}", command);
            prop_assert_eq!(outcome.revision, Some(revision(model.revision)));
            let events: Vec<_> = applied.changes.iter().filter(|change| change.entry().is_some()).map(model_event).collect();
            let expected: Vec<_> = if events.is_empty() { Vec::new() } else {
                model.events.iter().filter(|event| event.0 == model.revision).cloned().collect()
            };
            prop_assert_eq!(events, expected);
            assert_same(&machine, &model);
        }
    }

    #[test]
    fn the_tokens_of_a_lock_strictly_grow(choices in prop::collection::vec(choice(), 1..120)) {
        let mut machine = StateMachine::with_limits(&SMALL);
        let mut last = std::collections::BTreeMap::<LockName, Revision>::new();
        let applied = machine.apply(&Batch { proposals: log_of(&choices) }).unwrap();
        for change in applied.changes {
            if let Change::LockGranted { grant, .. } = change {
                let token = grant.token.revision();
                let before = last.insert(grant.name, token);
                prop_assert!(before.is_none_or(|before| before < token));
            }
        }
    }

    #[test]
    fn the_same_log_gives_the_same_bytes_however_it_is_cut(choices in prop::collection::vec(choice(), 1..80), cut in 1usize..9) {
        let log = log_of(&choices);
        let (mut whole, mut pieces) = (StateMachine::with_limits(&SMALL), StateMachine::with_limits(&SMALL));
        let applied = whole.apply(&Batch { proposals: log.clone() }).unwrap();
        let mut outcomes = Vec::new();
        for piece in log.chunks(cut) {
            outcomes.extend(pieces.apply(&Batch { proposals: piece.to_vec() }).unwrap().outcomes);
        }
        prop_assert_eq!(applied.outcomes, outcomes);
        prop_assert!(bytes_of(&whole) == bytes_of(&pieces));
    }

    #[test]
    fn a_state_from_a_snapshot_goes_on_exactly_like_the_original(choices in prop::collection::vec(choice(), 1..60)) {
        let mut original = StateMachine::with_limits(&SMALL);
        for proposal in log_of(&choices) {
            let bytes = bytes_of(&original);
            let mut restored = decode(&bytes, &SMALL);
            prop_assert!(bytes_of(&restored) == bytes);
            let batch = Batch { proposals: vec![proposal] };
            let (left, right) = (original.apply(&batch).unwrap(), restored.apply(&batch).unwrap());
            prop_assert_eq!(left.outcomes, right.outcomes);
            prop_assert_eq!(left.changes, right.changes);
            prop_assert!(bytes_of(&original) == bytes_of(&restored));
        }
    }

    #[test]
    fn a_clone_stays_as_it_was(choices in prop::collection::vec(choice(), 1..40)) {
        let mut machine = StateMachine::with_limits(&SMALL);
        let mut kept = Vec::new();
        for proposal in log_of(&choices) {
            kept.push((machine.clone(), bytes_of(&machine)));
            machine.apply(&Batch { proposals: vec![proposal] }).unwrap();
        }
        for (clone, bytes) in kept {
            prop_assert!(bytes_of(&clone) == bytes);
        }
    }
}
