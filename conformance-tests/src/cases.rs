//! Every case of the suite, by group.

mod deletion;
mod ephemeral;
mod expiry;
mod guard;
mod keys;
mod listing;
mod lock;
mod namespace;
mod preconditions;
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
    ]
    .concat()
}
