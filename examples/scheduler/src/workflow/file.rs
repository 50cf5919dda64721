//! The shape of a workflow file, before anything is checked.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::duration::Span;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkflowFile {
    pub(super) name: String,
    #[serde(default)]
    pub(super) defaults: Defaults,
    #[serde(default)]
    pub(super) task: Vec<TaskFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Defaults {
    pub(super) retries: u32,
    pub(super) retry_delay: Option<Span>,
    pub(super) timeout: Option<Span>,
    pub(super) group: Option<String>,
    pub(super) env: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskFile {
    pub(super) id: String,
    pub(super) command: String,
    #[serde(default)]
    pub(super) depends_on: Vec<String>,
    pub(super) retries: Option<u32>,
    pub(super) retry_delay: Option<Span>,
    pub(super) timeout: Option<Span>,
    pub(super) group: Option<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
}
