//! Submitting: stores a workflow and starts one instance of it.

use registry_api::{Effect, Error, ErrorKind, Operation, Precondition, PutOptions, RegistryClient, Transaction};

use crate::clock::wall_ms;
use crate::name::Name;
use crate::state::{InstanceRecord, InstanceState, WorkflowRecord, decode, encode, keys};
use crate::workflow::Workflow;

/// Stores the definition, and an instance that the masters will drive; returns the instance's name. All of it happens at
/// one revision.
///
/// # Errors
///
/// Those of the registry. After one with [`Effect::Unknown`], the instance may have been started: it is not submitted
/// again by itself.
pub async fn submit(client: &RegistryClient, workflow: &Workflow) -> registry_api::Result<Name> {
    let now = wall_ms();
    let instance = instance_name(&workflow.name, now);
    let record = WorkflowRecord { workflow: workflow.clone(), submitted_at: now };
    let key = keys::instance(&instance);
    let transaction = Transaction::builder()
        .absent(key.clone())
        .put(keys::workflow(&workflow.name), encode(&record))
        .put(keys::plan(&instance), encode(workflow))
        .put(key, encode(&InstanceRecord::submitted(workflow.name.clone(), now)))
        .build()
        .map_err(|error| {
            let kind = ErrorKind::InvalidArgument;
            Error::new(kind, Effect::NotApplied, Operation::Commit, client.backend(), error.to_string())
        })?;
    client.commit(transaction).await?;
    Ok(instance)
}

/// What a wish to cancel met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelling {
    /// The driver will see it.
    Asked,
    /// The instance has ended already.
    Ended(InstanceState),
    /// There is no such instance.
    Unknown,
}

/// Asks the driver of an instance to cancel it.
///
/// # Errors
///
/// Those of the registry. Asking again is safe.
pub async fn cancel(client: &RegistryClient, instance: &Name) -> registry_api::Result<Cancelling> {
    let Some(entry) = client.get(&keys::instance(instance)).await? else { return Ok(Cancelling::Unknown) };
    if let Ok(record) = decode::<InstanceRecord>(&entry)
        && record.state.is_final()
    {
        return Ok(Cancelling::Ended(record.state));
    }
    let asked = client.put_with(&keys::cancel(instance), "", PutOptions::default().when(Precondition::Absent)).await;
    match asked {
        Err(error) if *error.kind() != ErrorKind::PreconditionFailed => Err(error),
        _ => Ok(Cancelling::Asked),
    }
}

/// The workflow's name, when it was submitted, and a few random digits: unique, and the newest sorts last.
fn instance_name(workflow: &Name, now: u64) -> Name {
    let random: u16 = rand::random();
    Name::lossy(&format!("{workflow}-{:x}{random:04x}", now / 1000))
}
