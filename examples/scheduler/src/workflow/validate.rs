//! From a file's text to a checked workflow, or to every mistake in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::file::{Defaults, TaskFile, WorkflowFile};
use super::{Task, Workflow, graph};
use crate::duration::Span;
use crate::name::Name;

/// The most tasks of one workflow.
pub const TASKS_MAX: usize = 500;
/// The longest workflow file, in bytes: it must fit into one value of the registry, with room for its encoding.
pub const WORKFLOW_LEN_MAX: usize = 128 * 1024;
/// The longest name of a workflow, in bytes: the names of its instances are longer.
pub const WORKFLOW_NAME_LEN_MAX: usize = 64;
/// The longest workflow once its defaults are written out for every task, in bytes of its encoding.
const ENCODED_LEN_MAX: usize = 200 * 1024;
/// The most retries of one task.
const RETRIES_MAX: u32 = 100;

const RETRY_DELAY_DEFAULT: Span = Span::seconds(1);
const GROUP_DEFAULT: &str = "default";

/// Everything that is wrong with a workflow file, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    /// The lines.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Mistakes {}

pub(super) fn workflow(text: &str) -> Result<Workflow, Mistakes> {
    if text.len() > WORKFLOW_LEN_MAX {
        let line = format!("the workflow has {} bytes; at most {WORKFLOW_LEN_MAX} are allowed", text.len());
        return Err(Mistakes(vec![line]));
    }
    let file: WorkflowFile = toml::from_str(text).map_err(|error| Mistakes(vec![syntax_line(text, &error)]))?;
    let mut mistakes = Vec::new();
    let name = checked_workflow_name(&file.name, &mut mistakes);
    check_count(&file.task, &mut mistakes);
    check_dependencies(&file.task, &mut mistakes);
    let tasks: Vec<Option<Task>> =
        file.task.into_iter().map(|task| checked_task(task, &file.defaults, &mut mistakes)).collect();
    match (name, tasks.into_iter().collect::<Option<Vec<_>>>()) {
        (Some(name), Some(tasks)) if mistakes.is_empty() => fitting(Workflow { name, tasks }),
        _ => Err(Mistakes(mistakes)),
    }
}

/// Refuses what would not fit into the registry's values.
fn fitting(workflow: Workflow) -> Result<Workflow, Mistakes> {
    let len = crate::state::encode(&workflow).len();
    if len <= ENCODED_LEN_MAX {
        return Ok(workflow);
    }
    let line =
        format!("the workflow has {len} bytes with its defaults written out; at most {ENCODED_LEN_MAX} are allowed");
    Err(Mistakes(vec![line]))
}

/// One line for an error of the TOML reader, which prints several.
fn syntax_line(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', ", ");
    match error.span() {
        Some(span) => {
            let before = text.as_bytes().get(..span.start).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            format!("line {line}: {message}")
        }
        None => message,
    }
}

fn checked_workflow_name(name: &str, mistakes: &mut Vec<String>) -> Option<Name> {
    if name.len() > WORKFLOW_NAME_LEN_MAX {
        mistakes
            .push(format!("the workflow's name has {} bytes; at most {WORKFLOW_NAME_LEN_MAX} are allowed", name.len()));
        return None;
    }
    checked_name(name, "the workflow's name", mistakes)
}

fn checked_name(name: &str, what: &str, mistakes: &mut Vec<String>) -> Option<Name> {
    name.parse().map_err(|error| mistakes.push(format!("{what}: {error}"))).ok()
}

fn check_count(tasks: &[TaskFile], mistakes: &mut Vec<String>) {
    match tasks.len() {
        0 => mistakes.push("the workflow has no tasks; add at least one [[task]]".to_owned()),
        count if count > TASKS_MAX => {
            mistakes.push(format!("the workflow has {count} tasks; at most {TASKS_MAX} are allowed"));
        }
        _ => {}
    }
}

fn check_dependencies(tasks: &[TaskFile], mistakes: &mut Vec<String>) {
    let mut known = BTreeSet::new();
    for task in tasks {
        if !known.insert(task.id.as_str()) {
            mistakes.push(format!("task {:?} is defined twice; ids are unique", task.id));
        }
    }
    for task in tasks {
        let mut named = BTreeSet::new();
        for dependency in &task.depends_on {
            if !known.contains(dependency.as_str()) {
                mistakes.push(unknown_dependency(&task.id, dependency, &known));
            }
            if !named.insert(dependency) {
                mistakes.push(format!("task {:?} depends on {dependency:?} twice; once is enough", task.id));
            }
        }
    }
    let dependencies: BTreeMap<&str, Vec<&str>> =
        tasks.iter().map(|task| (task.id.as_str(), task.depends_on.iter().map(String::as_str).collect())).collect();
    if let Some(path) = graph::cycle(&dependencies) {
        mistakes.push(format!("the dependencies have a cycle: {}", path.join(" -> ")));
    }
}

fn unknown_dependency(task: &str, dependency: &str, known: &BTreeSet<&str>) -> String {
    let nearest = known.iter().map(|name| (strsim::damerau_levenshtein(name, dependency), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 2 => {
            format!("task {task:?} depends on {dependency:?}, which is no task; did you mean {name:?}?")
        }
        _ => format!("task {task:?} depends on {dependency:?}, which is no task of this workflow"),
    }
}

fn checked_task(file: TaskFile, defaults: &Defaults, mistakes: &mut Vec<String>) -> Option<Task> {
    let id = checked_name(&file.id, "a task's id", mistakes)?;
    let group = file.group.as_deref().or(defaults.group.as_deref()).unwrap_or(GROUP_DEFAULT);
    let group = checked_name(group, &format!("the group of task {id}"), mistakes)?;
    let env = merged_env(&id, defaults, file.env, mistakes);
    let timeout = file.timeout.or(defaults.timeout);
    if timeout.is_some_and(|timeout| timeout.0.is_zero()) {
        mistakes.push(format!("task \"{id}\" has a timeout of zero; leave it out for none"));
    }
    if file.command.trim().is_empty() {
        mistakes.push(format!("task \"{id}\" has an empty command"));
    }
    let retries = file.retries.unwrap_or(defaults.retries);
    if retries > RETRIES_MAX {
        mistakes.push(format!("task \"{id}\" has {retries} retries; at most {RETRIES_MAX} are allowed"));
    }
    Some(Task {
        command: file.command,
        depends_on: file.depends_on.iter().filter_map(|name| name.parse().ok()).collect(),
        retries,
        retry_delay: file.retry_delay.or(defaults.retry_delay).unwrap_or(RETRY_DELAY_DEFAULT),
        timeout,
        group,
        env,
        id,
    })
}

/// The environment of a task. Names that no process can be given are refused.
fn merged_env(
    id: &Name,
    defaults: &Defaults,
    own: BTreeMap<String, String>,
    mistakes: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let mut env = defaults.env.clone();
    env.extend(own);
    for (name, value) in &env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            mistakes.push(format!("task \"{id}\" has an environment variable {name:?} that no process can be given"));
        }
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_mistake(text: &str) -> String {
        workflow(text).unwrap_err().lines()[0].clone()
    }

    #[test]
    fn every_mistake_has_one_clear_line() {
        let table = [
            ("name = 'w'", "the workflow has no tasks; add at least one [[task]]"),
            ("nam = 'w'\nname = 'w'", "line 1: unknown field `nam`, expected one of `name`, `defaults`, `task`"),
            (
                "name = 'w'\n[[task]]\nid = 'a'\ncomand = 'x'",
                "line 4: unknown field `comand`, expected one of `id`, `command`, `depends_on`, `retries`, `retry_delay`, `timeout`, `group`, `env`",
            ),
            ("name = 'w'\n[[task]]\nid = 'a'", "line 2: missing field `command`"),
            ("name = 'w'\n[[task]]\nid = 'a'\ncommand = ' '", "task \"a\" has an empty command"),
            (
                "name = 'w'\n[[task]]\nid = 'a'\ncommand = 'x'\n[[task]]\nid = 'a'\ncommand = 'y'",
                "task \"a\" is defined twice; ids are unique",
            ),
            (
                "name = 'w'\n[[task]]\nid = 'load'\ncommand = 'x'\n[[task]]\nid = 'b'\ncommand = 'y'\ndepends_on = ['laod']",
                "task \"b\" depends on \"laod\", which is no task; did you mean \"load\"?",
            ),
            (
                "name = 'w'\n[[task]]\nid = 'a'\ncommand = 'x'\ndepends_on = ['elsewhere']",
                "task \"a\" depends on \"elsewhere\", which is no task of this workflow",
            ),
            (
                "name = 'w'\n[[task]]\nid = 'a'\ncommand = 'x'\ndepends_on = ['b']\n[[task]]\nid = 'b'\ncommand = 'x'\ndepends_on = ['a']",
                "the dependencies have a cycle: a -> b -> a",
            ),
            (
                "name = 'w'\n[[task]]\nid = 'a'\ncommand = 'x'\ndepends_on = ['a']",
                "the dependencies have a cycle: a -> a",
            ),
            (
                "name = 'w'\n[[task]]\nid = 'a'\ncommand = 'x'\nretry_delay = 'soon'",
                "line 5: \"soon\" is not a duration such as \"1m 30s\": expected number at 0",
            ),
            (
                "name = 'w'\n[[task]]\nid = 'a'\ncommand = 'x'\ntimeout = '0s'",
                "task \"a\" has a timeout of zero; leave it out for none",
            ),
            (
                "name = 'a/b'\n[[task]]\nid = 'a'\ncommand = 'x'",
                "the workflow's name: \"a/b\" is not a name: at most 96 ASCII letters, digits, '-', '_' and '.', beginning with a letter or digit",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(first_mistake(text), expected, "for {text}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let text = "name = 'w'\n[[task]]\nid = 'a'\ncommand = ''\ndepends_on = ['a', 'z']";
        assert_eq!(workflow(text).unwrap_err().lines().len(), 3);
    }

    #[test]
    fn defaults_hold_for_tasks_that_do_not_say_otherwise() {
        let text = "name = 'w'\n[defaults]\nretries = 2\ntimeout = '3s'\ngroup = 'gpu'\nenv = { A = '1', B = '1' }\n\
                    [[task]]\nid = 'a'\ncommand = 'x'\n[[task]]\nid = 'b'\ncommand = 'x'\nretries = 0\ngroup = 'cpu'\nenv = { B = '2' }";
        let workflow = workflow(text).unwrap();
        assert_eq!(workflow.tasks[0].retries, 2);
        assert_eq!(workflow.tasks[0].timeout, Some(Span::seconds(3)));
        assert_eq!(workflow.tasks[0].group.as_str(), "gpu");
        assert_eq!(workflow.tasks[1].retries, 0);
        assert_eq!(workflow.tasks[1].group.as_str(), "cpu");
        assert_eq!(workflow.tasks[1].env, BTreeMap::from([("A".into(), "1".into()), ("B".into(), "2".into())]));
    }

    #[test]
    fn the_shipped_workflow_is_valid_and_large_enough() {
        let text = include_str!("../../workflows/demo.toml");
        let workflow = workflow(text).unwrap();
        assert!(workflow.tasks.len() >= 24, "{} tasks", workflow.tasks.len());
    }
}
