//! The reports as a table for a person, and below it every fault.

use super::guests::Report;
use super::outcome::SuiteOutcome;

/// The table, and what failed.
pub(super) fn of(reports: &[Report]) -> String {
    let mut table =
        line(&["kernel", "release", "suite", "passed", "seconds", ""].map(str::to_owned));
    let mut faults = String::new();
    for report in reports {
        let Report {
            series,
            release,
            boot,
            suites,
            faults: beside,
        } = report;
        for (index, suite) in suites.iter().enumerate() {
            let (kernel, release) = if index == 0 {
                (series.to_string(), release.clone())
            } else {
                Default::default()
            };
            table += &row(kernel, release, suite);
            for fault in &suite.faults {
                faults += &format!("FAILED on {series}: {} {fault}\n", suite.target);
            }
        }
        for fault in beside {
            faults += &format!("FAILED on {series}: {fault}\n");
        }
        let (passed, cases) = sums(suites);
        let took: f64 = suites.iter().map(|suite| suite.took).sum();
        let passed = format!("{passed} of {cases}");
        let note = format!("booted in {boot:.1} s");
        table += &line(&[
            String::new(),
            String::new(),
            "all".to_owned(),
            passed,
            format!("{took:.0}"),
            note,
        ]);
    }
    table + &faults
}

fn sums(suites: &[SuiteOutcome]) -> (usize, usize) {
    let passed = suites.iter().map(|suite| suite.passed).sum();
    (passed, suites.iter().map(|suite| suite.cases).sum())
}

fn row(kernel: String, release: String, suite: &SuiteOutcome) -> String {
    let SuiteOutcome {
        target,
        cases,
        passed,
        faults,
        took,
    } = suite;
    let verdict = if faults.is_empty() { "ok" } else { "FAILED" };
    line(&[
        kernel,
        release,
        (*target).to_owned(),
        format!("{passed} of {cases}"),
        format!("{took:.0}"),
        verdict.to_owned(),
    ])
}

fn line([kernel, release, suite, passed, seconds, verdict]: &[String; 6]) -> String {
    let text = format!("{kernel:<7} {release:<30} {suite:<18} {passed:>9} {seconds:>8}  {verdict}");
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::series::Series;
    use super::*;

    fn report(faults: &[&str]) -> Report {
        let suite = |target, faults: &[&str]| SuiteOutcome {
            target,
            cases: 3,
            passed: 3 - faults.len(),
            faults: faults.iter().map(|&fault| fault.to_owned()).collect(),
            took: 12.4,
        };
        Report {
            series: Series::V6_1,
            release: "6.1.0-56-cloud-amd64".to_owned(),
            boot: 2.5,
            suites: vec![suite("lab", &[]), suite("load", faults)],
            faults: Vec::new(),
        }
    }

    #[test]
    fn each_suite_has_a_line_and_each_kernel_a_sum() {
        let table = of(&[report(&[])]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4, "{table}");
        assert!(
            lines[1].starts_with("6.1     6.1.0-56-cloud-amd64"),
            "{table}"
        );
        assert!(lines[1].ends_with("3 of 3       12  ok"), "{table}");
        assert!(
            lines[3].contains("6 of 6") && lines[3].ends_with("booted in 2.5 s"),
            "{table}"
        );
    }

    #[test]
    fn a_fault_is_told_with_its_kernel_and_suite() {
        let report = report(&["one: FAILED"]);
        assert!(!report.is_well());
        let table = of(&[report]);
        assert!(table.contains("2 of 3       12  FAILED"), "{table}");
        assert!(
            table.ends_with("FAILED on 6.1: load one: FAILED\n"),
            "{table}"
        );
    }
}
