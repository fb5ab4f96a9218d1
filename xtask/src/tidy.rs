//! `cargo xtask tidy`: the house rules that neither the compiler nor clippy can hold.
//!
//! Each rule is a function from the tree to findings, proved by small inputs that make it red.
//! What a rule allows is data at the top of its file.

mod comments;
mod documents;
mod fences;
mod layers;
mod names;
mod shape;
mod source;
mod uses;

use std::fmt;

use anyhow::{Result, bail};

use source::Tree;

/// One breach of one rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// The file, from the workspace's folder.
    path: String,
    /// The line, counted from one.
    line: usize,
    /// What is wrong and what to do instead.
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            message,
        } = self;
        write!(f, "{path}:{line}: {message}")
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: [(&str, Rule); 12] = [
    ("layers", layers::imports_go_down),
    ("layers", layers::crates_stay_in_their_place),
    ("shape", shape::files_say_their_role),
    ("shape", shape::files_are_short),
    ("comments", comments::no_open_ends),
    ("comments", comments::no_line_numbers),
    ("fences", fences::unsafe_stays_in_sys),
    ("fences", fences::lints_are_expected_not_allowed),
    ("names", names::types_use_the_vocabulary),
    ("documents", documents::lifecycles_name_what_exists),
    ("documents", documents::tests_that_are_named_exist),
    ("documents", documents::links_lead_somewhere),
];

/// Entry point of `cargo xtask tidy`.
pub(crate) fn main() -> Result<()> {
    let tree = Tree::of_checkout()?;
    let mut findings: Vec<(Finding, &str)> = Vec::new();
    for (name, rule) in RULES {
        findings.extend(rule(&tree).into_iter().map(|finding| (finding, name)));
    }
    findings.sort();
    for (finding, rule) in &findings {
        eprintln!("{finding} [{rule}]");
    }
    if !findings.is_empty() {
        bail!("tidy found {} breaches of the house rules", findings.len());
    }
    eprintln!("tidy: {} files keep the house rules", tree.len());
    Ok(())
}
