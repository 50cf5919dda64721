//! What the scheduler keeps in the registry: keys and records. Nothing is kept anywhere else.
//!
//! ```text
//! /masters/<name>                          ephemeral  presence of a master
//! /workers/<name>                          ephemeral  presence of a worker
//! /workflows/<workflow>                    persistent WorkflowRecord: the newest definition
//! /plans/<instance>                        persistent Workflow: the definition that the instance runs; never changes
//! /instances/<instance>                    persistent InstanceRecord; written by its driver
//! /tasks/<instance>/<task>                 persistent TaskRecord; written by the driver; absent: waiting
//! /assignments/<worker>/<instance>/<task>  persistent Assignment: an attempt in flight; see below
//! /inbox/<instance>/report/<task>          persistent Report: what an attempt came to; consumed by the driver
//! /inbox/<instance>/cancel                 persistent asks the driver to cancel
//! /refused/<instance>/<task>/<attempt>     persistent RefusedRecord: a result that came too late
//! /dead/<role>/<name>/<session>            persistent DeathRecord
//! ```
//!
//! The *assignment* decides about an attempt: whoever deletes it first has won. The worker deletes it in the transaction
//! that leaves the report; the driver deletes it in the transaction that gives the attempt up. Both check the revision they
//! know, so one of them is refused. That is why a result is accepted once.

pub mod codec;
pub mod death;
pub mod instance;
pub mod keys;
pub mod presence;
pub mod task;

pub use codec::{DecodeError, decode, encode};
pub use death::{Certificate, DeathReason, DeathRecord};
pub use instance::{InstanceRecord, InstanceState, WorkflowRecord};
pub use presence::{MasterReport, Role, Status, Vitals, WorkerReport};
pub use task::{
    ATTEMPTS_KEPT, Assignment, AssignmentState, Attempt, AttemptState, OUTPUT_LEN_MAX, Outcome, RefusedRecord, Report,
    TaskRecord, TaskState,
};
