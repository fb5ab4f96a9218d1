//! The gateway's daemon as a library: the binary `s2cs` and the tests are built on it.

pub mod app;
pub mod btf;
pub mod cli;
pub mod connection_log;
pub mod dataplane;
pub mod drain;
pub mod errors;
pub mod limits;
pub mod listener;
pub mod probe;
pub mod session;
pub mod sessions;
pub mod stats;
pub mod sys;
pub mod telemetry;
