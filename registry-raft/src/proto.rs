//! The generated messages of `proto/registry/v1`.

#![expect(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in the .proto files"
)]

tonic::include_proto!("registry.v1");
