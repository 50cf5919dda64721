//! Looks at the scheduler from outside, through the JSON that its API server gives.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// How long one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks one API server.
pub(super) struct Observer {
    agent: ureq::Agent,
    base: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Leader {
    /// The member that leads; `None` where the masters elect one of themselves.
    pub(super) node: Option<u64>,
    pub(super) term: u64,
    pub(super) master: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Participant {
    pub(super) name: String,
    pub(super) report: Load,
}

#[derive(Debug, Deserialize)]
pub(super) struct Load {
    #[serde(default)]
    pub(super) running: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) driver: Option<String>,
    #[serde(default)]
    pub(super) tasks: Vec<Task>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) accepted: u64,
    pub(super) attempts: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Attempt {
    pub(super) worker: String,
    pub(super) state: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Dead {
    pub(super) name: String,
    pub(super) noticed_by: String,
    pub(super) reason: String,
}

impl Leader {
    /// Whether somebody else leads than before.
    pub(super) fn follows(&self, before: &Self) -> bool {
        let other = if self.node.is_some() { self.node != before.node } else { self.master != before.master };
        other && self.term > before.term
    }
}

impl Observer {
    /// Looks through the API server at this address, which ends with a slash.
    pub(super) fn new(base: String) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(LOOK_TIMEOUT)).build().into();
        Self { agent, base }
    }

    pub(super) fn leader(&self) -> Option<Leader> {
        self.look("api/leader")
    }

    pub(super) fn masters(&self) -> Option<Vec<Participant>> {
        self.look("api/members")
    }

    pub(super) fn workers(&self) -> Option<Vec<Participant>> {
        self.look("api/workers")
    }

    pub(super) fn instance(&self, id: &str) -> Option<Instance> {
        self.look(&format!("api/instances/{id}"))
    }

    pub(super) fn dead(&self) -> Option<Vec<Dead>> {
        self.look("api/dead")
    }

    /// `None` while the answer is not there: nobody listens yet, or there is no leader to ask.
    fn look<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        self.agent.get(format!("{}{path}", self.base)).call().ok()?.body_mut().read_json().ok()
    }
}
