//! What the commands print: lines for people, or one JSON object per result for programs.
//!
//! What belongs to the result goes to standard output; failures and notes go to standard error.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::failure::Failure;

/// Where results go, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON, or lines for people.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether results are JSON.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// A line for people.
    pub fn line(self, line: &str) {
        if !self.json {
            write_out(line);
        }
    }

    /// A result for programs, on one line.
    pub fn json(self, value: &Value) {
        if self.json {
            write_out(&value.to_string());
        }
    }

    /// Something to know that is no part of the result.
    pub fn note(self, line: &str) {
        // Nobody is left to be told that standard error is closed.
        drop(writeln!(io::stderr().lock(), "{line}"));
    }

    /// Why the command failed.
    pub fn failure(self, failure: &Failure) {
        if self.json {
            let error = json!({
                "code": failure.exit().name(),
                "exit_code": failure.exit().code(),
                "message": failure.to_string(),
            });
            self.note(&json!({ "error": error }).to_string());
        } else {
            self.note(&format!("error: {failure}"));
        }
    }
}

/// Addresses as upstream's commands print a list, which scripts parse.
pub fn listed(items: &[String]) -> String {
    let quoted: Vec<_> = items.iter().map(|item| format!("'{item}'")).collect();
    format!("[{}]", quoted.join(", "))
}

fn write_out(line: &str) {
    let mut out = io::stdout().lock();
    // A reader that has gone away (`s2uc list | head -1`) is no failure of ours.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_listed_as_scripts_expect_them() {
        let items = ["10.0.0.1:5100".to_owned(), "10.0.0.1:5101".to_owned()];
        assert_eq!(listed(&items), "['10.0.0.1:5100', '10.0.0.1:5101']");
        assert_eq!(listed(&[]), "[]");
    }
}
