//! The traffic of the tests: streams whose every byte is known from a seed and an offset, sockets
//! that send and check them with deadlines, and the record of what a test is waiting for.
//!
//! ```text
//!   Pattern(seed) ──► Endpoint::send ──TCP──► gateway ──TCP──► Endpoint::receive ──► equal, in order?
//! ```
//!
//! Nothing here can hang: every read and write has the endpoint's patience as its time-out, and
//! everything that waits is listed in a [`Watch`], so that a test that runs out of time says what
//! it was waiting for and at which byte.

mod ending;
mod endpoint;
mod pattern;
mod seed;
mod segment;
mod sys;
mod together;
mod watch;

pub use ending::Ending;
pub use endpoint::{Endpoint, Introduction, Pace, Stalls};
pub use pattern::{Mismatch, Pattern, RunningHash};
pub use seed::{Draw, Seed};
pub use segment::SegmentSource;
pub use together::{Task, together};
pub use watch::{Waiting, Watch};
