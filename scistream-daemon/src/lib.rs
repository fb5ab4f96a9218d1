//! The gateway's daemon as a library: the binary `s2cs` and the tests are built on it.

pub mod app;
pub mod audit;
pub mod auth;
pub mod btf;
pub mod cli;
pub mod config;
pub mod connection_log;
pub mod control;
pub mod dataplane;
pub mod drain;
pub mod errors;
pub mod init;
pub mod limits;
pub mod listener;
pub mod metrics;
pub mod policy;
pub mod probe;
pub mod rfc3339;
pub mod session;
pub mod sessions;
pub mod stats;
pub mod sys;
pub mod telemetry;
pub mod user;
pub mod wire;
