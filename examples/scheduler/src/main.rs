//! The scheduler.

fn main() {}
