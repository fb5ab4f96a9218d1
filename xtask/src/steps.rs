//! Steps of a long run: each is timed, all are told at the end, a failed one stops no other.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The steps done so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

struct Step {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

enum Outcome {
    Failed(String),
    NotRun(String),
    Passed,
}

impl Steps {
    /// Runs one step; tells whether it passed. Its error is printed at once and again at the end.
    pub(crate) fn run(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> bool {
        eprintln!("\n=== {name}");
        let started = Instant::now();
        let outcome = match work() {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                eprintln!("=== {name} failed: {error:#}");
                Outcome::Failed(format!("{error:#}"))
            }
        };
        let passed = matches!(outcome, Outcome::Passed);
        let took = started.elapsed();
        self.done.push(Step {
            name,
            took,
            outcome,
        });
        passed
    }

    /// Notes a step that could not be run, which counts as a failure.
    pub(crate) fn not_run(&mut self, name: &'static str, why: impl Into<String>) {
        let outcome = Outcome::NotRun(why.into());
        let took = Duration::ZERO;
        self.done.push(Step {
            name,
            took,
            outcome,
        });
    }

    /// Prints what each step took; an error names the steps that did not pass.
    pub(crate) fn finish(self) -> Result<()> {
        eprintln!("\n{}", self.table());
        let unhappy = self
            .done
            .iter()
            .filter(|step| !matches!(step.outcome, Outcome::Passed));
        let names: Vec<_> = unhappy.map(|step| step.name).collect();
        if !names.is_empty() {
            bail!("these steps did not pass: {}", names.join(", "));
        }
        Ok(())
    }

    fn table(&self) -> String {
        let line = |name: &str, took: Duration, outcome: &str| {
            format!("{name:<28} {:>8.1} s  {outcome}\n", took.as_secs_f64())
        };
        let mut table = String::new();
        for Step {
            name,
            took,
            outcome,
        } in &self.done
        {
            table += &match outcome {
                Outcome::Failed(why) => line(name, *took, &format!("FAILED: {why}")),
                Outcome::NotRun(why) => line(name, *took, &format!("NOT RUN: {why}")),
                Outcome::Passed => line(name, *took, "ok"),
            };
        }
        let total = self.done.iter().map(|step| step.took).sum();
        table + &line("total", total, "")
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_failed_step_stops_no_other_and_fails_the_whole() {
        let mut steps = Steps::default();
        assert!(!steps.run("first", || Err(anyhow!("no reason"))));
        assert!(steps.run("second", || Ok(())));
        let table = steps.table();
        assert!(table.contains("FAILED: no reason"), "{table}");
        assert_eq!(
            steps.finish().unwrap_err().to_string(),
            "these steps did not pass: first"
        );
    }

    #[test]
    fn a_step_that_was_not_run_fails_the_whole() {
        let mut steps = Steps::default();
        steps.not_run("kernel tests", "no root");
        assert!(steps.table().contains("NOT RUN: no root"));
        assert!(steps.finish().is_err());
    }
}
