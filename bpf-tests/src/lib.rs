//! The lab: hosts, links and processes on one machine, for the tests that need a kernel and root,
//! for `cargo xtask run` and for `cargo xtask bench`.
//!
//! ```text
//!   capability   what this machine lets us do; `require!` is the only way to skip a test
//!   cleanup      what this process made and must remove, whatever ends it
//!   command      short commands (`ip`, `tc`, `ethtool`) with errors that say what was run
//!   netns        one network namespace, removed by its guard
//!   topology     hosts in a row, with one gateway or two: namespaces, links, addresses, routes
//!   wan          a wide-area line between two hosts: delay, rate, loss, jitter, reordering
//!   patience     limits, stretched on slow machines
//!   pacing       what the kernel holds sockets to, as `ss` says it
//!   process      a child with its output captured, ended by its guard
//!   gateway      the real `s2cs forward` as such a child, its log parsed
//!   iperf        a real iperf3 as traffic
//!   sockperf     a real sockperf as a second opinion on latency
//!   traffic      streams whose every byte is known, sockets that check them, deadlines
//!   contract     what every plane promises, as cases over the real gateway
//!   load         messages in time, connections in a row, connections that say nothing
//!   generator    the program `traffic`: streams of messages, timed and checked byte by byte
//!   clock        the host's monotonic clock, as a number that processes exchange
//!   real         programs and libraries that others wrote, beside the gateway
//!   sys          the only unsafe code
//! ```
//!
//! Everything is removed by `Drop`, hence also after a panic; on SIGINT, SIGTERM and SIGHUP by
//! [`cleanup`]; and after a SIGKILL by the next process that makes a namespace. Several runs may
//! go side by side: addresses live in private namespaces whose names carry the owner's identity.

pub mod capability;
pub mod cleanup;
pub mod clock;
pub mod command;
pub mod contract;
pub mod gateway;
pub mod generator;
pub mod iperf;
pub mod load;
pub mod netns;
pub mod pacing;
pub mod patience;
pub mod process;
pub mod real;
pub mod sockperf;
pub mod sys;
pub mod topology;
pub mod traffic;
pub mod wan;
