//! What the programs share: maps, the offsets of kernel fields, and the reads behind a verdict.
#![no_std]

pub mod egress;
pub mod local_apps;
pub mod maps;
pub mod offsets;
pub mod sequence;
pub mod ungated;
pub mod verdict;
