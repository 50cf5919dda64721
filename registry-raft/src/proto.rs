//! The generated messages of `proto/registry/v1`.

#![expect(
    unreachable_pub,
    clippy::too_many_lines,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in the .proto files"
)]

tonic::include_proto!("registry.v1");
