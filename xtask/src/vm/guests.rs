//! Guests, as many at a time as there are CPUs, and what each came to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::PROBE_FILE;
use super::fetch::{Emulator, Kernel, say};
use super::image::{Orders, Payload, TESTS};
use super::machine::Machine;
use super::outcome::{Console, PROBES, SuiteOutcome};
use super::selection;
use super::series::Series;
use super::store::{Store, make, remove};
use super::suites::{Suite, Suites};
use crate::cmd;

/// How long a guest may take with the usual cases, on a machine that others load.
const USUAL_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// How long it may take with all of them: the long cases of one plane take a quarter of an hour.
const EVERYTHING_DEADLINE: Duration = Duration::from_secs(3 * 60 * 60);

/// How much more patience tests have in a guest: it is emulated, and others run beside it.
const PATIENCE: u8 = 4;

/// The same with the long cases: one of them takes minutes there, and two run at once.
const LONG_PATIENCE: u8 = 10;

/// What was fetched.
pub(super) struct Tools {
    /// Held for as long as they are in use: nobody replaces them, and nobody else writes results.
    pub(super) _store: Store,
    pub(super) emulator: Emulator,
    pub(super) shell: PathBuf,
    pub(super) kernels: Vec<Kernel>,
}

/// The guests of one run.
pub(super) struct Guests<'a> {
    pub(super) tools: &'a Tools,
    pub(super) suites: &'a Suites,
    pub(super) payload: &'a Payload,
    /// For what is made on the way.
    pub(super) scratch: &'a Path,
    /// The long cases, too.
    pub(super) everything: bool,
}

/// What one kernel came to.
pub(super) struct Report {
    pub(super) series: Series,
    pub(super) release: String,
    /// Seconds until the first process ran.
    pub(super) boot: f64,
    pub(super) suites: Vec<SuiteOutcome>,
    /// What went wrong beside the cases.
    pub(super) faults: Vec<String>,
}

impl Report {
    /// Of a kernel that could not be had.
    pub(super) fn missing(series: Series, error: &anyhow::Error) -> Self {
        Self {
            series,
            release: "not to be had".to_owned(),
            boot: 0.0,
            suites: Vec::new(),
            faults: vec![format!("{error:#}")],
        }
    }

    /// Whether everything that should have passed has.
    pub(super) fn is_well(&self) -> bool {
        self.faults.is_empty() && self.suites.iter().all(|suite| suite.faults.is_empty())
    }
}

impl Guests<'_> {
    /// Runs one guest per kernel and gives the reports in the kernels' order.
    pub(super) fn run(&self) -> Result<Vec<Report>> {
        let kernels = &self.tools.kernels;
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let at_once = kernels.len().min(cpus);
        let each = cpus / at_once.max(1);
        let left = Mutex::new(kernels.iter());
        let reports = Mutex::new(Vec::new());
        let work = || {
            while let Some(kernel) = next(&left) {
                let report = self.guest(kernel, each);
                locked(&reports).push(report);
            }
        };
        thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(work);
            }
        });
        let reports = reports
            .into_inner()
            .unwrap_or_else(|poison| poison.into_inner());
        let mut reports: Vec<Report> = reports.into_iter().collect::<Result<_>>()?;
        reports.sort_by_key(|report| report.series);
        Ok(reports)
    }

    /// Boots the first kernel for a person.
    pub(super) fn prompt(&self) -> Result<()> {
        let kernel = self.tools.kernels.first().context("no kernel was named")?;
        let orders = Orders::Shell {
            lines: plan(&self.chosen(kernel.series)?),
            environment: environment(self.everything),
        };
        let files = self.scratch.join("shell.cpio");
        self.payload.write(kernel, &orders, &files)?;
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        self.machine(kernel, &files, cpus).run_on_terminal()
    }

    fn guest(&self, kernel: &Kernel, cpus: usize) -> Result<Report> {
        let Kernel {
            series, release, ..
        } = kernel;
        let chosen = self.chosen(*series)?;
        let orders = Orders::Plan {
            lines: plan(&chosen),
            environment: environment(self.everything),
        };
        let files = self.scratch.join(format!("{series}.cpio"));
        let results = self.scratch.join(format!("{series}.tar"));
        self.payload.write(kernel, &orders, &files)?;
        say(&format!("{series}: booting {release}"));
        let (mut console, mut log) = (Console::default(), String::new());
        let run = self
            .machine(kernel, &files, cpus)
            .run(&results, self.deadline(), |line| {
                log += line;
                log.push('\n');
                console.read(line);
                tell(*series, &console, line);
            });
        let folder = super::folder().join(series.to_string());
        unpack(&results, &folder, &log)?;
        let mut faults = faults_beside(*series, &console);
        faults.extend(run.err().map(|error| format!("{error:#}")));
        let suites = chosen
            .iter()
            .map(|suite| SuiteOutcome::of(suite, &console, &folder))
            .collect();
        let boot = console.booted.as_ref().map_or(0.0, |(_, seconds)| *seconds);
        Ok(Report {
            series: *series,
            release: release.clone(),
            boot,
            suites,
            faults,
        })
    }

    fn chosen(&self, series: Series) -> Result<Vec<Suite>> {
        let shares = selection::of(series, self.everything);
        shares
            .iter()
            .map(|share| self.suites.suite(share))
            .collect()
    }

    fn machine<'a>(&'a self, kernel: &'a Kernel, files: &'a Path, cpus: usize) -> Machine<'a> {
        Machine {
            emulator: &self.tools.emulator,
            kernel,
            files,
            cpus,
        }
    }

    fn deadline(&self) -> Duration {
        if self.everything {
            EVERYTHING_DEADLINE
        } else {
            USUAL_DEADLINE
        }
    }
}

/// What a guest runs, a name and a command per line.
fn plan(suites: &[Suite]) -> String {
    let [text, json] = PROBES;
    let mut lines = format!("{text} {TESTS}/s2cs probe\n{json} {TESTS}/s2cs probe --json\n");
    for suite in suites {
        lines += &format!("{} {}\n", suite.target, suite.command(TESTS));
    }
    lines
}

/// A test that lacks a capability in a guest fails: everything is there.
fn environment(everything: bool) -> String {
    let patience = if everything { LONG_PATIENCE } else { PATIENCE };
    format!(
        "export {}=all {}={TESTS}/s2cs {}={patience}\n",
        bpf_tests::capability::REQUIRE_VARIABLE,
        bpf_tests::gateway::BINARY_VARIABLE,
        bpf_tests::patience::VARIABLE,
    )
}

/// What went wrong beside the suites.
fn faults_beside(series: Series, console: &Console) -> Vec<String> {
    let mut faults = Vec::new();
    if console.booted.is_none() {
        faults.push("it did not boot".to_owned());
    } else if !console.done {
        faults.push("it stopped before everything had run".to_owned());
    }
    for name in PROBES {
        // 0 is ok, 1 is a warning; 2 is a failed check, as it must be where sockmap is declined.
        let good: &[i32] = if series.declines_sockmap() {
            &[2]
        } else {
            &[0, 1]
        };
        match console.code(name) {
            Some(code) if !good.contains(&code) => {
                faults.push(format!("s2cs {name} ended with exit code {code}"));
            }
            Some(_) | None => {}
        }
    }
    faults
}

/// Lays the results out in `folder`, in the place of earlier ones.
fn unpack(results: &Path, folder: &Path, console: &str) -> Result<()> {
    remove(folder)?;
    make(folder)?;
    let log = folder.join("console.txt");
    fs::write(&log, console).with_context(|| format!("{} cannot be written", log.display()))?;
    // A guest that died has handed out nothing, which its console shows.
    if fs::metadata(results).is_ok_and(|file| file.len() > 0) {
        let mut tar = Command::new("tar");
        tar.arg("-xf").arg(results).arg("-C").arg(folder);
        cmd::output(&mut tar).context("a guest's results are cut short; is the disk full?")?;
    }
    for (made, name) in [("probe.out", PROBE_FILE), ("probe-json.out", "probe.json")] {
        let made = folder.join(made);
        if made.is_file() {
            fs::rename(&made, folder.join(name))
                .with_context(|| format!("{} cannot be renamed", made.display()))?;
        }
    }
    Ok(())
}

/// Tells a person when something ends.
fn tell(series: Series, console: &Console, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["@", "booted", _, seconds] => say(&format!("{series}: booted in {seconds} s")),
        ["@", "end", name, ..] if !PROBES.contains(&name) => {
            let how = match console.code(name) {
                Some(0) => "passed",
                Some(_) | None => "FAILED",
            };
            say(&format!("{series}: {name} {how}"));
        }
        _ => {}
    }
}

fn next<'a>(left: &Mutex<std::slice::Iter<'a, Kernel>>) -> Option<&'a Kernel> {
    locked(left).next()
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}
