//! The keys of the scheduler, in one place. All are below the configured namespace.

use registry_api::{Key, LockName, SessionId};

use crate::name::Name;
use crate::state::Role;

/// Presence of masters.
#[must_use]
pub fn masters() -> Key {
    key("/masters")
}

/// The leading master, where masters elect one: the record, and the name of the lock.
#[must_use]
pub fn leader() -> Key {
    key("/leader")
}

/// Presence of workers.
#[must_use]
pub fn workers() -> Key {
    key("/workers")
}

/// Presence of one process.
#[must_use]
pub fn presence(role: Role, name: &Name) -> Key {
    match role {
        Role::Master => key(&format!("/masters/{name}")),
        Role::Worker => key(&format!("/workers/{name}")),
    }
}

/// All workflows.
#[must_use]
pub fn workflows() -> Key {
    key("/workflows")
}

/// The newest definition of a workflow.
#[must_use]
pub fn workflow(name: &Name) -> Key {
    key(&format!("/workflows/{name}"))
}

/// The definition that an instance runs.
#[must_use]
pub fn plan(instance: &Name) -> Key {
    key(&format!("/plans/{instance}"))
}

/// All instances.
#[must_use]
pub fn instances() -> Key {
    key("/instances")
}

/// One instance.
#[must_use]
pub fn instance(instance: &Name) -> Key {
    key(&format!("/instances/{instance}"))
}

/// The lock under which an instance is driven.
#[must_use]
#[expect(clippy::expect_used, reason = "names are safe segments, and the rest is constant")]
pub fn driver_lock(instance: &Name) -> LockName {
    format!("/drivers/{instance}").parse().expect("a name is a segment of a lock's name")
}

/// The tasks of an instance.
#[must_use]
pub fn tasks(instance: &Name) -> Key {
    key(&format!("/tasks/{instance}"))
}

/// One task of an instance.
#[must_use]
pub fn task(instance: &Name, task: &Name) -> Key {
    key(&format!("/tasks/{instance}/{task}"))
}

/// All attempts in flight.
#[must_use]
pub fn assignments() -> Key {
    key("/assignments")
}

/// The attempts in flight of one worker.
#[must_use]
pub fn assignments_of(worker: &Name) -> Key {
    key(&format!("/assignments/{worker}"))
}

/// One attempt in flight.
#[must_use]
pub fn assignment(worker: &Name, instance: &Name, task: &Name) -> Key {
    key(&format!("/assignments/{worker}/{instance}/{task}"))
}

/// What the driver of an instance is told.
#[must_use]
pub fn inbox(instance: &Name) -> Key {
    key(&format!("/inbox/{instance}"))
}

/// What the attempt in flight of a task came to.
#[must_use]
pub fn report(instance: &Name, task: &Name) -> Key {
    key(&format!("/inbox/{instance}/report/{task}"))
}

/// Asks for the cancellation of an instance.
#[must_use]
pub fn cancel(instance: &Name) -> Key {
    key(&format!("/inbox/{instance}/cancel"))
}

/// All refused results.
#[must_use]
pub fn refused() -> Key {
    key("/refused")
}

/// The refused results of an instance.
#[must_use]
pub fn refused_of(instance: &Name) -> Key {
    key(&format!("/refused/{instance}"))
}

/// The refused result of one attempt.
#[must_use]
pub fn refused_result(instance: &Name, task: &Name, attempt: u32) -> Key {
    key(&format!("/refused/{instance}/{task}/{attempt}"))
}

/// The dead list.
#[must_use]
pub fn dead() -> Key {
    key("/dead")
}

/// One entry of the dead list: a process may die more than once, each time with another session.
#[must_use]
pub fn death(role: Role, name: &Name, session: SessionId) -> Key {
    key(&format!("/dead/{role}/{name}/{session}"))
}

#[expect(clippy::expect_used, reason = "names are safe segments, and the rest is constant")]
fn key(text: &str) -> Key {
    text.parse().expect("names are segments of keys")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::NAME_LEN_MAX;

    #[test]
    fn the_longest_names_make_keys() {
        let name: Name = "n".repeat(NAME_LEN_MAX).parse().unwrap();
        assert!(assignment(&name, &name, &name).as_str().len() < registry_api::KEY_LEN_MAX);
        assert!(death(Role::Worker, &name, SessionId::new(u64::MAX)).as_str().starts_with("/dead/worker/n"));
        assert!(refused_result(&name, &name, u32::MAX).is_below(&refused()));
        assert!(driver_lock(&name).as_str().starts_with("/drivers/"));
    }
}
