//! Every case of the suite, by group.

mod cluster;
mod connection;
mod deletion;
mod durable;
mod election;
mod ephemeral;
mod expiry;
mod guard;
mod history;
mod keys;
mod listing;
mod lock;
mod mirror;
mod model;
mod namespace;
mod network;
mod preconditions;
mod presence;
mod reads;
mod resume;
mod session;
mod subscribe;
mod transactions;

use crate::Case;

/// Every case, in the order of the groups.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        keys::cases(),
        listing::cases(),
        deletion::cases(),
        namespace::cases(),
        preconditions::cases(),
        transactions::cases(),
        reads::cases(),
        ephemeral::cases(),
        expiry::cases(),
        session::cases(),
        subscribe::cases(),
        resume::cases(),
        lock::cases(),
        guard::cases(),
        election::cases(),
        presence::cases(),
        mirror::cases(),
        connection::cases(),
        model::cases(),
        history::cases(),
        durable::cases(),
        cluster::cases(),
        network::cases(),
    ]
    .concat()
}
