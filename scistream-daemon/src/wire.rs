//! The control protocols' messages and both their ends, as generated from `proto/`.
//!
//! Values in here came from, or go to, someone else: nothing in them is to be believed before
//! `control::convert` has looked at it.

#![expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated; what is said about it stands in proto/"
)]

/// SciStream's own protocol.
pub mod scistream {
    tonic::include_proto!("scistream");
}

/// The gateway's protocol beside it.
pub mod gateway {
    tonic::include_proto!("scistream.v1");
}

/// The description of both, for reflection: an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
