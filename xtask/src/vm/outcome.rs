//! What a guest's run came to, read from its console and from the results it handed out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::suites::Suite;

/// The names of the probe's outputs.
pub(super) const PROBES: [&str; 2] = ["probe", "probe-json"];

/// One step of a guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Step {
    begun: f64,
    /// Exit code and time of the end, seconds since the boot.
    ended: Option<(i32, f64)>,
}

/// The lines of the console that are for the host.
#[derive(Debug, Default)]
pub(super) struct Console {
    /// The release it says it is, and how long it took to boot, seconds.
    pub(super) booted: Option<(String, f64)>,
    pub(super) steps: BTreeMap<String, Step>,
    /// Whether it said that everything was handed out.
    pub(super) done: bool,
}

/// One suite in one guest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SuiteOutcome {
    pub(super) target: &'static str,
    pub(super) cases: usize,
    pub(super) passed: usize,
    /// Cases that failed, or of which nothing was heard, with which of the two.
    pub(super) faults: Vec<String>,
    /// Seconds.
    pub(super) took: f64,
}

impl Console {
    /// Reads a line.
    pub(super) fn read(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let seconds = |text: &str| text.parse().unwrap_or(0.0);
        match words[..] {
            ["@", "booted", release, at] => self.booted = Some((release.to_owned(), seconds(at))),
            ["@", "begin", name, at] => {
                self.steps.entry(name.to_owned()).or_default().begun = seconds(at);
            }
            ["@", "end", name, code, at] => {
                let ended = (code.parse().unwrap_or(-1), seconds(at));
                self.steps.entry(name.to_owned()).or_default().ended = Some(ended);
            }
            ["@", "done", _] => self.done = true,
            _ => {}
        }
    }

    /// The exit code of a step that ended.
    pub(super) fn code(&self, name: &str) -> Option<i32> {
        Some(self.steps.get(name)?.ended?.0)
    }

    /// How long a step took, seconds.
    fn took(&self, name: &str) -> f64 {
        let step = self.steps.get(name);
        let times = step.and_then(|step| Some((step.begun, step.ended?.1)));
        times.map_or(0.0, |(begun, ended)| ended - begun)
    }
}

impl SuiteOutcome {
    /// Holds what the suite's program wrote against what it should have run: a case that was
    /// skipped, ignored or never begun is a fault as much as one that failed.
    pub(super) fn of(suite: &Suite, console: &Console, results: &Path) -> Self {
        let file = results.join(format!("{}.out", suite.target));
        // Without a file nothing was heard of any case.
        let text = fs::read_to_string(file).unwrap_or_default();
        let verdicts = verdicts(&text);
        let fault = |case: &String| match verdicts.get(case.as_str()) {
            Some(&"ok") => None,
            Some(verdict) => Some(format!("{case}: {verdict}")),
            None => Some(format!("{case}: not heard of")),
        };
        let mut faults: Vec<String> = suite.cases.iter().filter_map(fault).collect();
        let passed = suite.cases.len() - faults.len();
        match console.code(suite.target) {
            Some(0) => {}
            Some(code) if faults.is_empty() => faults.push(format!("exit code {code}")),
            Some(_) => {}
            None => faults.push("it did not end".to_owned()),
        }
        if suite.cases.is_empty() {
            faults.push("it has no case".to_owned());
        }
        Self {
            target: suite.target,
            cases: suite.cases.len(),
            passed,
            faults,
            took: console.took(suite.target),
        }
    }
}

/// What the test harness said of each case.
fn verdicts(text: &str) -> BTreeMap<&str, &str> {
    let verdict = |line| {
        let (name, verdict) = str::strip_prefix(line, "test ")?.split_once(" ... ")?;
        Some((name, verdict.trim()))
    };
    text.lines().filter_map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 5] = [
        "@ booted 6.1.0-56-cloud-amd64 2.50",
        "@ begin lab 3.00",
        "something else",
        "@ end lab 0 5.50",
        "@ done 6.0",
    ];

    fn console(lines: &[&str]) -> Console {
        let mut console = Console::default();
        lines.iter().for_each(|line| console.read(line));
        console
    }

    fn outcome(cases: &[&str], text: &str, console: &Console) -> SuiteOutcome {
        let name: String = format!("scistream-outcome-{}-{}", std::process::id(), text.len());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("lab.out"), text).unwrap();
        let cases = cases.iter().map(|&case| case.to_owned()).collect();
        let outcome = SuiteOutcome::of(&Suite::new("lab", cases, 1), console, &folder);
        fs::remove_dir_all(&folder).unwrap();
        outcome
    }

    #[test]
    fn the_console_tells_boot_steps_and_end() {
        let console = console(&LINES);
        assert_eq!(
            console.booted,
            Some(("6.1.0-56-cloud-amd64".to_owned(), 2.5))
        );
        assert_eq!(console.code("lab"), Some(0));
        assert_eq!(console.took("lab"), 2.5);
        assert!(console.done);
    }

    #[test]
    fn all_cases_that_pass_are_no_fault() {
        let text = "running 2 tests\ntest one ... ok\ntest two ... ok\n";
        let outcome = outcome(&["one", "two"], text, &console(&LINES));
        assert_eq!((outcome.passed, outcome.faults), (2, Vec::new()));
    }

    #[test]
    fn a_case_that_failed_or_was_ignored_or_never_ran_is_a_fault() {
        let text = "test one ... FAILED\ntest two ... ignored, for a reason\n";
        let outcome = outcome(&["one", "two", "three"], text, &console(&LINES));
        let expected = [
            "one: FAILED",
            "two: ignored, for a reason",
            "three: not heard of",
        ];
        assert_eq!(
            (outcome.passed, outcome.faults.as_slice()),
            (0, &expected.map(str::to_owned)[..])
        );
    }

    #[test]
    fn a_suite_that_did_not_end_or_ended_ill_is_a_fault() {
        let cut_short = outcome(&["one"], "test one ... ok\n", &console(&LINES[..2]));
        assert_eq!(cut_short.faults, ["it did not end"]);
        let ill = console(&["@ begin lab 3.0", "@ end lab 101 5.5"]);
        let ill = outcome(&["one"], "test one ... ok\n\n", &ill);
        assert_eq!(ill.faults, ["exit code 101"]);
    }

    #[test]
    fn a_suite_without_cases_is_a_fault() {
        let outcome = outcome(&[], "", &console(&LINES));
        assert_eq!(outcome.faults, ["it has no case"]);
    }
}
