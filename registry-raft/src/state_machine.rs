//! The replicated state machine: pure.
