//! What a session is, and every decision about one: pure values and rules, no runtime and no clock.
//!
//! A **session** is one `req`: its owner, its listeners, the targets behind them, and what it may
//! use. The running sessions are [`crate::sessions`]; what decides there is the registry in here.

pub mod caller;
pub mod census;
pub mod error;
pub mod event;
pub mod exchange;
pub mod id;
pub mod network;
pub mod phase;
mod ports;
pub mod rate;
pub mod registry;
pub mod request;
pub mod saved;
pub mod share;
pub mod target;
pub mod view;

pub use caller::{Caller, Principal, Quota};
pub use census::Census;
pub use error::{Resource, SessionError};
pub use event::{Change, ChangeCode};
pub use id::{Label, SessionId, SubmissionId};
pub use network::Network;
pub use phase::Phase;
pub use rate::{Rate, RateUse};
pub use request::{CreateSession, Greeting, Hello, Role};
pub use saved::SavedSession;
pub use target::Target;
pub use view::SessionView;
