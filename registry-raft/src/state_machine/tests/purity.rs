//! Tests of purity.
