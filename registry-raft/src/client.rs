//! The client side: connections to members, who leads, and requests that survive the loss of a member.
//!
//! ```text
//!   Proposer ── Router ──┬── the member of this process, if there is one
//!   (identity,  (leader, └── Links ── Link ── Connection   one stream per member,
//!    sequence)   home)                (dials)  (one stream)  dialled when wanted
//!                  │                     │
//!                  └────── Group ◄───────┘   what members say of leader and membership
//! ```

mod attempts;
mod backoff;
mod connection;
mod group;
mod home;
mod link;
mod links;
mod outgoing;
mod pending;
mod proposer;
mod reader;
mod router;
#[cfg(test)]
mod tests;
mod timing;

pub(crate) use attempts::Attempts;
pub(crate) use connection::Caller;
pub(crate) use group::{Group, Known, Target};
pub(crate) use home::LocalMember;
pub(crate) use links::Links;
pub(crate) use proposer::Proposer;
pub(crate) use router::{Attached, Router, SUBSCRIBE_ATTEMPT};
pub(crate) use timing::ClientTiming;
