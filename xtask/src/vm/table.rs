//! The reports as a table for a person, and below it every fault.

use super::guests::Report;
use super::outcome::SuiteOutcome;

/// The table, and what failed.
pub(super) fn of(reports: &[Report]) -> String {
    let mut table =
        line(&["kernel", "release", "suite", "passed", "seconds", ""].map(str::to_owned));
    let mut faults = String::new();
    for report in reports {
        let Report { series, suites, .. } = report;
        table += &lines(report);
        for suite in suites {
            for fault in &suite.faults {
                faults += &format!("FAILED on {series}: {} {fault}\n", suite.target);
            }
        }
        for fault in &report.faults {
            faults += &format!("FAILED on {series}: {fault}\n");
        }
    }
    table + &faults
}

/// The lines of one kernel: each suite, and their sum.
fn lines(report: &Report) -> String {
    let Report {
        series,
        release,
        boot,
        suites,
        faults: _,
    } = report;
    let empty = String::new;
    if suites.is_empty() {
        let verdict = "FAILED".to_owned();
        let (kernel, release) = (series.to_string(), release.clone());
        return line(&[kernel, release, empty(), empty(), empty(), verdict]);
    }
    let mut kernel = Some((series.to_string(), release.clone()));
    let mut lines = String::new();
    for suite in suites {
        let (kernel, release) = kernel.take().unwrap_or_default();
        lines += &row(kernel, release, suite);
    }
    let (passed, cases) = sums(suites);
    let passed = format!("{passed} of {cases}");
    let took: f64 = suites.iter().map(|suite| suite.took).sum();
    let note = format!("booted in {boot:.1} s");
    let took = format!("{took:.0}");
    lines + &line(&[empty(), empty(), "all".to_owned(), passed, took, note])
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
    fn a_kernel_that_could_not_be_had_has_a_line_and_its_reason() {
        let missing = Report::missing(Series::V7, &anyhow::anyhow!("no such kernel"));
        assert!(!missing.is_well());
        let table = of(&[report(&[]), missing]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(
            lines[4].starts_with("7       not to be had") && lines[4].ends_with("FAILED"),
            "{table}"
        );
        assert_eq!(lines[5], "FAILED on 7: no such kernel");
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
