//! Transactions: everything at one revision, or nothing.

use registry_api::{Check, Mutation, Transaction};

use super::keys::Write;
use super::{Done, Step};
use crate::convert::transaction_of;
use crate::proto::outcome::Outcome;
use crate::proto::{self, Refusal};
use crate::state_machine::StateMachine;
use crate::state_machine::refusal::Stop;

impl StateMachine {
    pub(super) fn commit(&mut self, commit: &proto::Commit, step: &mut Step<'_>) -> Result<Done, Stop> {
        let transaction = transaction_of(commit)?;
        for check in transaction.checks() {
            self.check_one(check)?;
        }
        // Clones are cheap, so what is to be undone need not be written down.
        let before = (self.keys.clone(), self.sessions.clone());
        match self.mutate(&transaction, step) {
            Ok(true) => Ok(Done::changed(Outcome::Done(true))),
            Ok(false) => Ok(Done::unchanged(Outcome::Done(true))),
            Err(refused) => {
                (self.keys, self.sessions) = before;
                Err(refused.into())
            }
        }
    }

    fn check_one(&self, check: &Check) -> Result<(), Stop> {
        match check {
            Check::Absent(key) => self.check_absent(key)?,
            Check::Present(key) => self.check_present(key).map(drop)?,
            Check::At(key, revision) => self.check_at(key, *revision)?,
            Check::OwnedBy(key, session) => self.check_owned_by(key, *session)?,
            Check::LockHeld(grant) => self.check_lock(grant)?,
            _ => return Err(crate::convert::ConvertError::Unknown("a check").into()),
        }
        Ok(())
    }

    /// Applies the mutations in order, each seeing those before it; stops at the first that is refused.
    fn mutate(&mut self, transaction: &Transaction, step: &mut Step<'_>) -> Result<bool, Refusal> {
        let mut changed = false;
        for mutation in transaction.mutations() {
            match mutation {
                Mutation::Put { key, value, lifetime, foreign_owner } => {
                    self.check_lifetime(*lifetime)?;
                    let (lifetime, foreign_owner) = (*lifetime, *foreign_owner);
                    self.write(&Write { key, value, lifetime, foreign_owner }, step)?;
                    changed = true;
                }
                // A key that is not there is no error.
                mutation => changed |= self.erase(mutation.key(), step),
            }
        }
        Ok(changed)
    }
}
