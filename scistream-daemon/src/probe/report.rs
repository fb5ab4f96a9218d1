//! The probe's findings: one line each, as a table or as JSON, and an exit code.

use std::fmt::Write as _;

use serde::Serialize;

/// How bad a finding is; the worst one decides the exit code.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// The gateway works, but slower, or without an extra.
    Warn,
    /// A data plane cannot be used.
    Fail,
}

/// One finding.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How bad it is.
    pub status: Status,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub wanted: String,
    /// How to get from one to the other; empty where nothing is to be done.
    pub mend: String,
}

/// All findings.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Report {
    /// The worst finding's status.
    pub status: Status,
    /// One entry per thing looked at.
    pub checks: Vec<Check>,
}

impl Status {
    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    /// The process's exit code: 0, 1 or 2.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warn => 1,
            Self::Fail => 2,
        }
    }
}

impl Check {
    /// A finding that leaves nothing to wish for.
    pub fn ok(name: &'static str, found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Ok,
            found: found.into(),
            wanted: wanted.into(),
            mend: String::new(),
        }
    }

    /// The same finding with a worse status and what to do about it.
    #[must_use]
    pub fn but(self, status: Status, mend: impl Into<String>) -> Self {
        Self {
            status,
            mend: mend.into(),
            ..self
        }
    }
}

impl Report {
    /// A report of these findings.
    pub fn new(checks: Vec<Check>) -> Self {
        let worst = checks.iter().map(|check| check.status).max();
        Self {
            status: worst.unwrap_or(Status::Ok),
            checks,
        }
    }

    /// The table for people: one line per finding, what to do behind an arrow.
    pub fn to_table(&self, colours: bool) -> String {
        let width = |of: fn(&Check) -> usize| self.checks.iter().map(of).max().unwrap_or(0);
        let name_width = width(|check| check.name.len());
        let found_width = width(|check| check.found.chars().count()).min(44);
        let mut table = String::new();
        for check in &self.checks {
            let Check {
                name,
                status,
                found,
                wanted,
                mend,
            } = check;
            let (on, off) = if colours {
                (colour(*status), "\x1b[0m")
            } else {
                ("", "")
            };
            let word = status.as_str();
            // Writing to a String does not fail.
            let _infallible = write!(
                table,
                "{on}{word:4}{off}  {name:name_width$}  {found:found_width$}  wanted: {wanted}"
            );
            if !mend.is_empty() {
                table.push_str("  → ");
                table.push_str(mend);
            }
            table.push('\n');
        }
        table
    }
}

fn colour(status: Status) -> &'static str {
    match status {
        Status::Ok => "\x1b[32m",
        Status::Warn => "\x1b[33m",
        Status::Fail => "\x1b[1;31m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Report {
        Report::new(vec![
            Check::ok("kernel", "6.18.44", "6.1.142 or later"),
            Check::ok("net.core.rmem_max", "4194304", "67108864 or more")
                .but(Status::Warn, "sysctl -w net.core.rmem_max=67108864"),
            Check::ok("btf", "missing", "present").but(Status::Fail, "another kernel"),
        ])
    }

    #[test]
    fn the_worst_finding_decides_the_exit_code() {
        let mut report = three();
        assert_eq!(report.status.exit_code(), 2);
        report.checks.pop();
        assert_eq!(Report::new(report.checks.clone()).status.exit_code(), 1);
        report.checks.pop();
        assert_eq!(Report::new(report.checks).status.exit_code(), 0);
    }

    #[test]
    fn each_finding_is_one_line_that_ends_in_what_to_do() {
        let table = three().to_table(false);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("ok    kernel") && lines[0].ends_with("or later"));
        assert!(lines[1].ends_with("→ sysctl -w net.core.rmem_max=67108864"));
        assert!(lines[2].starts_with("fail  btf"));
    }

    #[test]
    fn json_holds_every_field_of_every_finding() {
        let json = serde_json::to_value(three()).unwrap();
        assert_eq!(json["status"], "fail");
        assert_eq!(json["checks"][1]["status"], "warn");
        assert_eq!(json["checks"][1]["found"], "4194304");
        assert_eq!(json["checks"][2]["mend"], "another kernel");
    }
}
