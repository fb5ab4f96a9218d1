//! The gateway's daemon as a library: the binary `s2cs` and the tests are built on it.

pub mod btf;
pub mod dataplane;
pub mod sys;
