//! Who may do what: rules from the settings, and decisions that say why.
//!
//! Pure: a decision depends on the rules, the caller and what is asked, and on nothing else. Without
//! rules everyone who is known may have sessions; with the first rule, whatever no rule grants is
//! refused. Rules only grant; for one request the first rule that grants all of it counts, and its
//! maxima are the request's.

mod decide;
mod pattern;
mod rule;
mod subject;

pub use decide::{Asked, AskedTarget, Decision, Denial, Grant, Pass};
pub(crate) use pattern::is_host_name;
pub use pattern::{PatternError, Ports, TargetPattern};
pub use rule::{Maxima, Permission, Rule, Who, WhoError};
pub use subject::Subject;

/// All rules, in the order of the settings.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// The rules; none at all means that every known caller may have sessions.
    pub rules: Vec<Rule>,
}
