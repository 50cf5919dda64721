//! Scenarios of the state machine: commands that are applied, and a look at a key.

use std::hint::black_box;

use registry_api::{Check, Key, Transaction};

use super::message::{self, VALUE};
use super::state::{State, apply};
use super::{Broken, ROUND, Scenario};
use crate::convert::commit_of;
use crate::proto::command::Command;
use crate::proto::{self, Batch, outcome};
use crate::state_machine::StateMachine;

/// Commands without identity that are applied, and others that take them back.
#[derive(Debug)]
pub struct Apply {
    state: StateMachine,
    back: Vec<Batch>,
    round: Vec<Batch>,
}

impl Apply {
    /// A put of a key that is there: so many in a batch.
    #[must_use]
    pub fn put(state: &State, batch_len: usize) -> Self {
        let puts: Vec<Command> = state.some_keys(ROUND).map(|key| message::put(key, 0)).collect();
        Self::new(state, Vec::new(), puts.chunks(batch_len.max(1)).map(|puts| message::batch(puts.to_vec())).collect())
    }

    /// A put of a key that is not there.
    #[must_use]
    pub fn create(state: &State) -> Self {
        Self::new(state, each(new_keys(state).map(message::delete)), each(puts_of_new_keys(state)))
    }

    /// A delete of one key.
    #[must_use]
    pub fn delete(state: &State) -> Self {
        Self::new(state, each(puts_of_new_keys(state)), each(new_keys(state).map(message::delete)))
    }

    /// A put of an ephemeral key that is not there, by one session after the other.
    #[must_use]
    pub fn put_ephemeral(state: &State) -> Self {
        let puts = new_keys(state).zip(state.some_sessions(ROUND)).map(|(key, session)| message::put(key, session));
        Self::new(state, each(new_keys(state).map(message::delete)), each(puts))
    }

    /// A transaction that checks a key and puts two others.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    pub fn commit(state: &State) -> Result<Self, Broken> {
        let mut commits = Vec::new();
        let mut keys = state.some_keys(3 * ROUND);
        while let (Some(checked), Some(first), Some(second)) = (keys.next(), keys.next(), keys.next()) {
            let transaction = Transaction::builder().check(Check::Present(parsed(&checked)?));
            let transaction = transaction.put(parsed(&first)?, VALUE).put(parsed(&second)?, VALUE);
            let transaction = transaction.build().map_err(Broken::new)?;
            commits.push(Command::Commit(commit_of(&transaction).map_err(Broken::new)?));
        }
        Ok(Self::new(state, Vec::new(), each(commits)))
    }

    fn new(state: &State, back: Vec<Batch>, round: Vec<Batch>) -> Self {
        Self { state: state.machine.clone(), back, round }
    }
}

/// Keys beside those of the state, which it does not hold.
fn new_keys(state: &State) -> impl Iterator<Item = String> + use<> {
    state.some_keys(ROUND).map(|key| key + "-new")
}

fn puts_of_new_keys(state: &State) -> impl Iterator<Item = Command> + use<> {
    new_keys(state).map(|key| message::put(key, 0))
}

fn parsed(key: &str) -> Result<Key, Broken> {
    Key::parse(key).map_err(Broken::new)
}

/// A batch for each command.
fn each(commands: impl IntoIterator<Item = Command>) -> Vec<Batch> {
    commands.into_iter().map(|command| message::batch([command])).collect()
}

impl Scenario for Apply {
    fn operations(&self) -> u64 {
        ROUND
    }

    fn prepare(&mut self) -> Result<(), Broken> {
        self.back.iter().try_for_each(|batch| apply(&mut self.state, batch).map(drop))
    }

    fn run(&mut self) -> Result<(), Broken> {
        self.round.iter().try_for_each(|batch| apply(&mut self.state, batch).map(drop))
    }
}

/// A put by a client that has not heard the answers of so many commands before it.
#[derive(Debug)]
pub struct ApplyOfClient {
    state: StateMachine,
    keys: Vec<String>,
    client: u64,
    sequence: u64,
    unanswered: u64,
    round: Vec<Batch>,
}

impl ApplyOfClient {
    /// A put of a key that is there.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    pub fn put(state: &State, unanswered: u64) -> Result<Self, Broken> {
        let mut machine = state.machine.clone();
        let applied = apply(&mut machine, &message::batch([message::register_client()]))?;
        let Some(outcome::Outcome::Client(client)) = applied.outcomes.into_iter().find_map(|outcome| outcome.outcome)
        else {
            return Err(Broken::new("no client identity"));
        };
        let keys = state.some_keys(ROUND).collect();
        let mut scenario = Self { state: machine, keys, client, sequence: 0, unanswered, round: Vec::new() };
        while scenario.sequence < unanswered {
            scenario.prepare()?;
            scenario.run()?;
        }
        Ok(scenario)
    }
}

impl Scenario for ApplyOfClient {
    fn operations(&self) -> u64 {
        ROUND
    }

    fn prepare(&mut self) -> Result<(), Broken> {
        self.round.clear();
        for key in &self.keys {
            self.sequence += 1;
            let mut proposal = message::proposal(message::put(key.clone(), 0));
            proposal.client = self.client;
            proposal.sequence = self.sequence;
            proposal.answered_below = self.sequence.saturating_sub(self.unanswered);
            self.round.push(Batch { proposals: vec![proposal] });
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), Broken> {
        self.round.iter().try_for_each(|batch| apply(&mut self.state, batch).map(drop))
    }
}

/// A lock that nobody else wants: it is acquired and released, by one session after the other.
#[derive(Debug)]
pub struct ApplyLocks {
    state: StateMachine,
    acquires: Vec<Batch>,
}

impl ApplyLocks {
    /// In this state.
    #[must_use]
    pub fn new(state: &State) -> Self {
        let sessions = state.some_sessions(ROUND).zip(0_u64..);
        let acquires = sessions.map(|(session, number)| message::acquire(format!("/locks/{number}"), session));
        Self { state: state.machine.clone(), acquires: each(acquires) }
    }
}

impl Scenario for ApplyLocks {
    fn operations(&self) -> u64 {
        ROUND
    }

    fn run(&mut self) -> Result<(), Broken> {
        for acquire in &self.acquires {
            let acquired = apply(&mut self.state, acquire)?;
            let outcome = acquired.outcomes.into_iter().find_map(|outcome| outcome.outcome);
            let Some(outcome::Outcome::Granted(grant)) = outcome else {
                return Err(Broken::new("the lock was not granted"));
            };
            let release = Command::Release(proto::Release { grant: Some(grant) });
            apply(&mut self.state, &message::batch([release]))?;
        }
        Ok(())
    }
}

/// A look at a key.
#[derive(Debug)]
pub struct Get {
    state: StateMachine,
    keys: Vec<Key>,
}

impl Get {
    /// In this state.
    ///
    /// # Errors
    ///
    /// [`Broken`]
    pub fn new(state: &State) -> Result<Self, Broken> {
        let keys = state.some_keys(ROUND).map(|key| parsed(&key)).collect::<Result<_, _>>()?;
        Ok(Self { state: state.machine.clone(), keys })
    }
}

impl Scenario for Get {
    fn operations(&self) -> u64 {
        ROUND
    }

    fn run(&mut self) -> Result<(), Broken> {
        for key in &self.keys {
            if black_box(self.state.get(key)).entry.is_none() {
                return Err(Broken::new("a key is not there"));
            }
        }
        Ok(())
    }
}
