//! The in-process reference: being written.
