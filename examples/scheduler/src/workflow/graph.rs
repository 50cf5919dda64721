//! Dependencies as a graph: the cycle in it, if there is one.

use std::collections::BTreeMap;

/// The names on a cycle, first and last the same; `None` where there is no cycle. Dependencies that are not nodes are
/// ignored.
///
/// A depth-first walk that keeps its path; it follows the edges against their order of execution, so the result reads
/// `a -> b -> a` where `a` depends on `b`.
pub(super) fn cycle<'a>(dependencies: &BTreeMap<&'a str, Vec<&'a str>>) -> Option<Vec<&'a str>> {
    let mut walk = Walk { dependencies, done: BTreeMap::new(), path: Vec::new() };
    dependencies.keys().find_map(|start| walk.visit(start))
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    OnPath,
    Finished,
}

struct Walk<'a, 'g> {
    dependencies: &'g BTreeMap<&'a str, Vec<&'a str>>,
    done: BTreeMap<&'a str, Mark>,
    /// Each node on the way from the start, with how many of its edges were taken.
    path: Vec<(&'a str, usize)>,
}

impl<'a> Walk<'a, '_> {
    /// Iterative, so that a chain of any length does not use up the stack.
    fn visit(&mut self, start: &'a str) -> Option<Vec<&'a str>> {
        if self.done.contains_key(start) {
            return None;
        }
        self.enter(start);
        while let Some((node, taken)) = self.path.last_mut() {
            let next = self.dependencies.get(*node).and_then(|edges| edges.get(*taken)).copied();
            *taken += 1;
            match next {
                None => {
                    let node = *node;
                    self.path.pop();
                    self.done.insert(node, Mark::Finished);
                }
                Some(next) => match self.done.get(next) {
                    Some(Mark::OnPath) => return Some(self.close(next)),
                    Some(Mark::Finished) => {}
                    None if self.dependencies.contains_key(next) => self.enter(next),
                    None => {}
                },
            }
        }
        None
    }

    fn enter(&mut self, node: &'a str) {
        self.done.insert(node, Mark::OnPath);
        self.path.push((node, 0));
    }

    fn close(&self, repeated: &'a str) -> Vec<&'a str> {
        let nodes = self.path.iter().map(|(node, _)| *node).skip_while(|node| *node != repeated);
        nodes.chain([repeated]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_named_as_a_path() {
        let graph = BTreeMap::from([("a", vec!["b"]), ("b", vec!["c", "d"]), ("c", vec![]), ("d", vec!["b"])]);
        assert_eq!(cycle(&graph), Some(vec!["b", "d", "b"]));
    }

    #[test]
    fn a_diamond_has_no_cycle() {
        let graph = BTreeMap::from([("a", vec![]), ("b", vec!["a"]), ("c", vec!["a"]), ("d", vec!["b", "c"])]);
        assert_eq!(cycle(&graph), None);
    }

    #[test]
    fn a_long_chain_does_not_use_up_the_stack() {
        let names: Vec<String> = (0..100_000).map(|number| format!("t{number:06}")).collect();
        let graph = names
            .iter()
            .enumerate()
            .map(|(index, name)| (name.as_str(), names.get(index + 1).map(String::as_str).into_iter().collect()))
            .collect();
        assert_eq!(cycle(&graph), None);
    }
}
