//! The second opinion: a search for an order that explains the answers, without looking at revisions.
//!
//! The algorithm is Wing and Gong's ("Testing and verifying concurrent objects", 1993) with Lowe's memory of what was
//! tried ("Testing for linearizability", 2017). An operation of unknown outcome never ends: it may take effect at any
//! later moment, or after everything. A search that is not done within its limit is a failure, not a success.

use std::collections::{BTreeMap, HashSet};

use super::{Action, Answer, Operation, Tick};
use crate::Guarantee::G1;
use crate::broken::ensure;
use crate::{Broken, Outcome};

/// The most steps of one search: some seconds, and some hundred megabytes.
const STEPS_MAX: usize = 3_000_000;

/// Fails unless the operations of each key by themselves can be put into an order.
///
/// Keys are independent registers, so a history is linearizable if it is for each key (Herlihy and Wing, 1990).
pub(crate) fn check(operations: &[Operation]) -> Outcome {
    let mut keys: BTreeMap<usize, Vec<Operation>> = BTreeMap::new();
    for operation in operations {
        keys.entry(operation.key).or_default().push(*operation);
    }
    keys.into_iter().try_for_each(|(key, operations)| check_key(key, &operations))
}

fn check_key(key: usize, operations: &[Operation]) -> Outcome {
    let mut search = Search::new(operations);
    let mut steps = 0;
    while !search.is_done() {
        steps += 1;
        ensure!(
            G1,
            steps < STEPS_MAX,
            "no order was found within {STEPS_MAX} steps for {} operations",
            operations.len()
        );
        if !search.step() {
            let stuck = search.furthest();
            return Err(Broken::new(G1, format!("no order explains the answers of key {key}: stuck at {stuck:?}")));
        }
    }
    Ok(())
}

/// The state of a register: the value it holds.
type State = Option<u64>;

/// An operation that was put into the order, with what it takes to try another instead.
struct Chosen {
    operation: usize,
    state_before: State,
}

struct Search<'a> {
    operations: Vec<&'a Operation>,
    taken: Vec<bool>,
    state: State,
    chosen: Vec<Chosen>,
    /// Where the next candidate is looked for among the operations that are not taken.
    next: usize,
    seen: HashSet<(Vec<bool>, State)>,
    longest: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(operations: &'a [Operation]) -> Self {
        // What certainly changed nothing and was told nothing explains itself.
        let matters = |operation: &&Operation| match operation.answer {
            Answer::NotApplied => false,
            Answer::Unknown => operation.action != Action::Get,
            _ => true,
        };
        let mut operations: Vec<_> = operations.iter().filter(matters).collect();
        operations.sort_by_key(|operation| operation.begun);
        let taken = vec![false; operations.len()];
        let longest = taken.clone();
        Self { operations, taken, state: None, chosen: Vec::new(), next: 0, seen: HashSet::new(), longest }
    }

    /// Everything whose end is known is in the order; what never ended may come after it.
    fn is_done(&self) -> bool {
        self.operations.iter().zip(&self.taken).all(|(operation, taken)| *taken || operation.is_doubtful())
    }

    /// Takes one candidate, or takes one choice back; `false` when nothing is left to try.
    fn step(&mut self) -> bool {
        let deadline = self.first_end();
        while let Some(operation) = self.operations.get(self.next).copied() {
            let candidate = self.next;
            let free = !self.taken.get(candidate).copied().unwrap_or(true);
            if operation.begun > deadline {
                break;
            }
            self.next += 1;
            if let Some(state) = free.then(|| applied(self.state, operation)).flatten()
                && self.take(candidate, state)
            {
                return true;
            }
        }
        self.take_back()
    }

    /// When the first of the operations that are not taken ended: what began later cannot come before it.
    fn first_end(&self) -> Tick {
        let left =
            self.operations.iter().zip(&self.taken).filter(|(operation, taken)| !**taken && !operation.is_doubtful());
        left.map(|(operation, _)| operation.ended).min().unwrap_or(Tick::MAX)
    }

    fn take(&mut self, candidate: usize, state: State) -> bool {
        self.turn(candidate);
        if !self.seen.insert((self.taken.clone(), state)) {
            self.turn(candidate);
            return false;
        }
        self.chosen.push(Chosen { operation: candidate, state_before: self.state });
        self.state = state;
        self.next = 0;
        let count = |taken: &[bool]| taken.iter().filter(|taken| **taken).count();
        if count(&self.taken) > count(&self.longest) {
            self.longest.clone_from(&self.taken);
        }
        true
    }

    fn take_back(&mut self) -> bool {
        let Some(Chosen { operation, state_before }) = self.chosen.pop() else { return false };
        self.turn(operation);
        self.state = state_before;
        self.next = operation + 1;
        true
    }

    fn turn(&mut self, operation: usize) {
        if let Some(taken) = self.taken.get_mut(operation) {
            *taken = !*taken;
        }
    }

    /// The first operation that the longest order could not explain.
    fn furthest(&self) -> Option<&Operation> {
        self.operations.iter().zip(&self.longest).find(|(_, taken)| !**taken).map(|(operation, _)| *operation)
    }
}

/// The state after the operation; `None` when its answer does not fit.
fn applied(state: State, operation: &Operation) -> Option<State> {
    match (operation.action, operation.answer) {
        (Action::Put { value }, Answer::Changed(_) | Answer::Unknown) => Some(Some(value)),
        (Action::Delete, Answer::Changed(_)) => state.map(|_| None),
        (Action::Delete, Answer::NothingThere(_)) => state.is_none().then_some(None),
        (Action::Delete, Answer::Unknown) => Some(None),
        (Action::CompareAndSet { found, value, .. }, Answer::Changed(_)) => (state == found).then_some(Some(value)),
        (Action::CompareAndSet { found, .. }, Answer::Refused) => (state != found).then_some(state),
        (Action::CompareAndSet { found, value, .. }, Answer::Unknown) => {
            Some(if state == found { Some(value) } else { state })
        }
        (Action::Get, Answer::Read { found, .. }) => (state == found.map(|(value, _)| value)).then_some(state),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use registry_api::Revision;

    use super::*;

    const ANY: Revision = Revision::ZERO;

    fn operation(action: Action, ticks: (Tick, Tick), answer: Answer) -> Operation {
        Operation { key: 0, action, begun: ticks.0, ended: ticks.1, answer }
    }

    fn put(value: u64, ticks: (Tick, Tick)) -> Operation {
        operation(Action::Put { value }, ticks, Answer::Changed(ANY))
    }

    fn get(found: Option<u64>, ticks: (Tick, Tick)) -> Operation {
        operation(Action::Get, ticks, Answer::Read { found: found.map(|value| (value, ANY)), at: ANY })
    }

    fn lost(value: u64, ticks: (Tick, Tick)) -> Operation {
        operation(Action::Put { value }, ticks, Answer::Unknown)
    }

    #[test]
    fn overlapping_operations_may_take_any_order() {
        check(&[put(1, (0, 5)), get(Some(1), (1, 2)), get(Some(1), (3, 4))]).unwrap();
        check(&[put(1, (0, 5)), get(None, (1, 2)), get(Some(1), (3, 4))]).unwrap();
        check(&[put(1, (0, 10)), put(2, (1, 9)), get(Some(1), (2, 3)), get(Some(2), (4, 5))]).unwrap();
    }

    #[test]
    fn what_was_seen_is_not_unseen() {
        assert!(check(&[put(1, (0, 5)), get(Some(1), (1, 2)), get(None, (3, 4))]).is_err());
        let flip = [put(1, (0, 10)), put(2, (1, 9)), get(Some(1), (2, 3)), get(Some(2), (4, 5)), get(Some(1), (6, 7))];
        assert!(check(&flip).is_err());
    }

    #[test]
    fn a_stale_read_is_refused() {
        assert!(check(&[put(1, (0, 1)), put(2, (2, 3)), get(Some(1), (4, 5))]).is_err());
    }

    #[test]
    fn an_unknown_operation_may_take_effect_late_or_never() {
        check(&[put(1, (0, 1)), lost(2, (2, 3)), get(Some(1), (4, 5)), get(Some(2), (6, 7))]).unwrap();
        check(&[put(1, (0, 1)), lost(2, (2, 3)), get(Some(1), (4, 5))]).unwrap();
        let back = [put(1, (0, 1)), lost(2, (2, 3)), get(Some(2), (4, 5)), get(Some(1), (6, 7))];
        assert!(check(&back).is_err());
    }

    #[test]
    fn of_two_compare_and_sets_one_wins() {
        let set = |value, ticks, answer| {
            operation(Action::CompareAndSet { expected: ANY, found: Some(1), value }, ticks, answer)
        };
        let won = Answer::Changed(ANY);
        check(&[put(1, (0, 1)), set(2, (2, 5), won), set(3, (3, 4), Answer::Refused)]).unwrap();
        assert!(check(&[put(1, (0, 1)), set(2, (2, 5), won), set(3, (3, 4), won)]).is_err());
        assert!(check(&[put(1, (0, 1)), set(2, (2, 3), Answer::Refused), get(Some(1), (4, 5))]).is_err());
    }

    #[test]
    fn deletes_say_what_they_found() {
        let delete = |ticks, answer| operation(Action::Delete, ticks, answer);
        check(&[put(1, (0, 1)), delete((2, 3), Answer::Changed(ANY)), delete((4, 5), Answer::NothingThere(ANY))])
            .unwrap();
        assert!(check(&[put(1, (0, 1)), delete((2, 3), Answer::NothingThere(ANY))]).is_err());
    }

    #[test]
    fn a_long_concurrent_history_is_decided() {
        let mut history = Vec::new();
        for round in 0..200_u64 {
            let tick = round * 10;
            history.push(put(round * 2, (tick, tick + 6)));
            history.push(put(round * 2 + 1, (tick + 1, tick + 7)));
            history.push(get(Some(round * 2), (tick + 2, tick + 8)));
            history.push(get(Some(round * 2 + 1), (tick + 3, tick + 9)));
        }
        check(&history).unwrap();
        history.push(get(Some(5), (5000, 5001)));
        assert!(check(&history).is_err());
    }
}
