//! Sequential random operations, step by step beside the reference model.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;
use registry_api::{
    Capability, DeleteOptions, Entry, Error, ErrorKind, Event, Key, Precondition, PutOptions, RegistryClient, Revision,
    Scope, SessionId,
};

use super::subscribe::held;
use crate::Guarantee::{G1, G12, G14, G15};
use crate::broken::{ensure, ensure_eq};
use crate::case::cases;
use crate::model::{Model, ModelEntry, ModelEvent, ModelPrecondition, TakesOver};
use crate::{Broken, Case, Context, Guarantee, Outcome, Watcher};

/// How many operations are compared.
const STEPS: usize = 600;

pub(super) fn cases() -> Vec<Case> {
    cases!["model";
        random_operations_agree_with_the_model => [G1, G15] .needs(Capability::AbaSafePreconditions);
        random_operations_are_told_as_the_model_tells_them => [G12, G14] .needs(Capability::EveryVersion);
    ]
}

/// The backend and the model, side by side.
struct Pair {
    client: RegistryClient,
    random: StdRng,
    model: Model,
    keys: Vec<Key>,
    sessions: Vec<SessionId>,
    /// The backend's revision of each change of the model.
    revisions: BTreeMap<u64, Revision>,
}

impl Pair {
    async fn new(context: &Context, stream: u64) -> Outcome<Self> {
        let names = ["m/a", "m/a/b", "m/a/b/c", "m/a/10", "m/a/1", "m/d", "m/d/e"];
        let keys = names.into_iter().map(|name| context.key(name)).collect::<Outcome<_>>()?;
        let (client, random) = (context.client().await?, context.random(stream));
        Ok(Self { client, random, model: Model::default(), keys, sessions: Vec::new(), revisions: BTreeMap::new() })
    }

    fn pick(&mut self) -> Outcome<Key> {
        let at = self.random.random_range(0..self.keys.len());
        self.keys.get(at).cloned().ok_or_else(|| Broken::harness("no keys"))
    }

    fn pick_session(&mut self) -> Option<SessionId> {
        let at = self.random.random_range(0..self.sessions.len().max(1));
        self.sessions.get(at).copied()
    }

    async fn step(&mut self, context: &Context) -> Outcome {
        match self.random.random_range(0..20) {
            0..=10 => self.put().await,
            11..=14 => self.delete().await,
            15 => self.delete_tree().await,
            16..=17 => self.open(context).await,
            18 => self.close().await,
            _ => self.get().await,
        }
    }

    async fn put(&mut self) -> Outcome {
        let (key, value) = (self.pick()?, self.random.random_range(0..5).to_string());
        let owner = if self.random.random_bool(0.4) { self.pick_session() } else { None };
        let takes_over = if self.random.random_bool(0.3) { TakesOver::Yes } else { TakesOver::No };
        let known = self.model.entries().get(&key).map(|entry| entry.modified);
        let precondition = match self.random.random_range(0..8) {
            0 => ModelPrecondition::Absent,
            1 | 2 => ModelPrecondition::At(known.unwrap_or(self.model.changes()).max(1)),
            3 => self.pick_session().map_or(ModelPrecondition::None, ModelPrecondition::OwnedBy),
            _ => ModelPrecondition::None,
        };
        let mut options = owner.map_or_else(PutOptions::default, PutOptions::ephemeral).when(self.real(precondition));
        if takes_over == TakesOver::Yes {
            options = options.taking_over();
        }
        let what = format!("put of {key} with {options:?}");
        let real = self.client.put_with(&key, value.clone(), options).await;
        let model = self.model.put(&key, &value, owner, precondition, takes_over);
        let change = agreed(&what, real.as_ref().map(|_| ()), model)?;
        if let (Some(change), Ok(revision)) = (change, real) {
            self.revisions.insert(change, revision);
        }
        self.compare_key(&key).await
    }

    fn real(&self, precondition: ModelPrecondition) -> Precondition {
        match precondition {
            ModelPrecondition::None => Precondition::None,
            ModelPrecondition::Absent => Precondition::Absent,
            ModelPrecondition::At(change) => {
                Precondition::At(self.revisions.get(&change).copied().unwrap_or(Revision::new(u64::MAX, 0)))
            }
            ModelPrecondition::OwnedBy(session) => Precondition::OwnedBy(session),
        }
    }

    async fn delete(&mut self) -> Outcome {
        let key = self.pick()?;
        let deleted = self.client.delete(&key).await?;
        let removed = self.model.remove(vec![key.clone()]);
        self.deleted(&key, removed, deleted.count, deleted.revision)
    }

    async fn delete_tree(&mut self) -> Outcome {
        let key = self.pick()?;
        let deleted = self.client.delete_with(&Scope::Tree(key.clone()), DeleteOptions::default()).await?;
        let removed = self.model.remove(self.model.tree(&key));
        self.deleted(&key, removed, deleted.count, deleted.revision)
    }

    fn deleted(&mut self, key: &Key, expected: usize, count: usize, revision: Revision) -> Outcome {
        ensure_eq!(G1, count, expected, "how many keys the delete of {key} deleted");
        if count > 0 {
            self.revisions.insert(self.model.changes(), revision);
        }
        Ok(())
    }

    async fn open(&mut self, context: &Context) -> Outcome {
        if self.sessions.len() < 4 {
            let session = context.long_session(&self.client).await?;
            self.model.open(session);
            self.sessions.push(session);
        }
        Ok(())
    }

    /// Ends a session; its id stays among those that are tried, and must be refused.
    async fn close(&mut self) -> Outcome {
        if let Some(session) = self.pick_session() {
            self.client.registry().close_session(session).await?;
            self.model.close(session);
            if self.random.random_bool(0.7) {
                self.sessions.retain(|other| *other != session);
            }
        }
        Ok(())
    }

    async fn get(&mut self) -> Outcome {
        let key = self.pick()?;
        self.compare_key(&key).await
    }

    async fn compare_key(&self, key: &Key) -> Outcome {
        let real = self.client.get(key).await?;
        self.same(G1, key, real.as_ref(), self.model.entries().get(key))
    }

    fn same(&self, blamed: Guarantee, key: &Key, real: Option<&Entry>, model: Option<&ModelEntry>) -> Outcome {
        let real = real.map(|entry| (String::from_utf8_lossy(&entry.value).into_owned(), entry.owner, entry.modified));
        let model = model.map(|entry| (entry.value.clone(), entry.owner, self.revisions.get(&entry.modified).copied()));
        let real = real.map(|(value, owner, modified)| (value, owner, Some(modified)));
        ensure_eq!(blamed, real, model, "{key} (value, owner, modified) beside the model");
        Ok(())
    }

    async fn compare_all(&self, context: &Context) -> Outcome {
        let real = held(&self.client, &Scope::Tree(context.key("m")?)).await?;
        let keys: Vec<_> = real.keys().collect();
        ensure_eq!(G1, keys, self.model.entries().keys().collect::<Vec<_>>(), "the keys beside the model");
        real.iter().try_for_each(|(key, entry)| self.same(G1, key, Some(entry), self.model.entries().get(key)))
    }
}

/// The change, where both did it; nothing, where both refused for the same reason.
fn agreed(what: &str, real: Result<(), &Error>, model: Result<u64, ErrorKind>) -> Outcome<Option<u64>> {
    match (real, model) {
        (Ok(()), Ok(change)) => Ok(Some(change)),
        (Err(error), Err(kind)) => {
            ensure!(
                G15,
                may_be_told(error.kind(), &kind),
                "the {what} is refused with {error:?}, by the model with {kind:?}"
            );
            ensure_eq!(G15, error.effect(), registry_api::Effect::NotApplied, "the effect of a refused {what}");
            Ok(None)
        }
        (real, model) => Err(Broken::new(G1, format!("the {what} gave {real:?}, and {model:?} by the model"))),
    }
}

/// Where several rules are broken, any of them may be told.
fn may_be_told(real: &ErrorKind, model: &ErrorKind) -> bool {
    let rules = |kind: &ErrorKind| {
        matches!(
            kind,
            ErrorKind::PreconditionFailed
                | ErrorKind::OwnedByAnother { .. }
                | ErrorKind::LifetimeMismatch
                | ErrorKind::EphemeralParent
                | ErrorKind::SessionEnded
        )
    };
    real == model || (rules(real) && rules(model))
}

async fn random_operations_agree_with_the_model(context: Context) -> Outcome {
    let mut pair = Pair::new(&context, 1).await?;
    for step in 0..STEPS {
        pair.step(&context).await?;
        if step % 50 == 0 {
            pair.compare_all(&context).await?;
        }
    }
    pair.compare_all(&context).await
}

async fn random_operations_are_told_as_the_model_tells_them(context: Context) -> Outcome {
    let mut pair = Pair::new(&context, 2).await?;
    let scope = Scope::Tree(context.key("m")?);
    let mut watcher = Watcher::open(&context, &pair.client, &scope).await?;
    for _ in 0..STEPS / 2 {
        pair.step(&context).await?;
    }
    let end = context.key("m/end")?;
    watcher.until_sentinel(&pair.client, &end).await?;
    let told: Vec<_> = watcher.history().iter().skip(1).filter(|event| event.key() != Some(&end)).collect();
    ensure_eq!(G12, told.len(), pair.model.events().len(), "how many events there are beside the model");
    // The keys of one change (a tree, a session) may be told in any order: they are compared sorted.
    let mut real: Vec<_> = told.iter().map(|event| summary_of(event)).collect();
    let mut model: Vec<_> = pair.model.events().iter().map(|event| pair.summary_of(event)).collect();
    real.sort();
    model.sort();
    for (real, model) in real.iter().zip(&model) {
        ensure_eq!(G14, real, model, "an event (revision, key, value, previous value) beside the model");
    }
    Ok(())
}

/// Revision (for puts), key, value and previous value of an event.
type Summary = (String, Option<Revision>, Option<String>, Option<String>);

fn text(entry: &Entry) -> String {
    format!("{:?} of {:?}", String::from_utf8_lossy(&entry.value), entry.owner)
}

fn summary_of(event: &Event) -> Summary {
    match event {
        Event::Put { entry, previous } => {
            (entry.key.to_string(), Some(entry.modified), Some(text(entry)), previous.as_ref().map(text))
        }
        Event::Delete { previous, .. } => (previous.key.to_string(), None, None, Some(text(previous))),
        other => (format!("{other:?}"), None, None, None),
    }
}

impl Pair {
    fn summary_of(&self, event: &ModelEvent) -> Summary {
        let text = |entry: &ModelEntry| format!("{:?} of {:?}", entry.value, entry.owner);
        match event {
            ModelEvent::Put { key, entry, previous } => {
                let modified = self.revisions.get(&entry.modified).copied();
                (key.to_string(), modified, Some(text(entry)), previous.as_ref().map(text))
            }
            ModelEvent::Delete { key, previous } => (key.to_string(), None, None, Some(text(previous))),
        }
    }
}
