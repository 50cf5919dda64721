//! Consensus: the only module that names openraft.
