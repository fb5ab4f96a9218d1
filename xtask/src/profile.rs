//! `cargo xtask profile`: where the CPU goes in one row of the bench, as a flame graph.
//!
//! ```text
//!   perf record -a ── the bench, one row and one subject ──► target/profile/NAME.data
//!        perf script ──► folded stacks, by process ─┬─► NAME.svg    the flame graph
//!                                                   └─► the table   what the CPU did most
//! ```
//!
//! The whole machine is sampled: most of what a relay costs is spent by the kernel, much of it in
//! nobody's name. What is neither the kernel's nor a descendant of this command is left out
//! ([`family`]). Stacks are walked by frame pointers, so the kernel's are whole, and those of
//! programs built without them are cut short above the system call.

mod family;
mod folded;

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};
use inferno::flamegraph::{self, Options, Palette, color::MultiPalette};

use self::folded::Folded;
use crate::setup::{self, Need};
use crate::{build, build_ebpf, cmd, workspace};

/// Samples per second and CPU; not a divisor of the timer's rate, which would always catch the
/// same work.
const RATE: &str = "997";

/// The clock that is sampled by: a virtual machine has no counters of cycles, and every kernel
/// has this.
const EVENT: &str = "cpu-clock";

/// Lines of the table.
const TOP: usize = 25;

/// Arguments of `cargo xtask profile`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A row of `cargo xtask bench`: saturated-1, messages, …
    row: String,
    /// A subject of `cargo xtask bench`: splice, sockmap, haproxy, …
    subject: String,
    /// Seconds of one measurement of the row
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// Entry point of `cargo xtask profile`.
pub(crate) fn main(args: Args) -> Result<()> {
    ensure!(
        workspace::is_root(),
        "a profile samples the whole machine and the bench makes namespaces: run it as root"
    );
    setup::ensure(&[
        Need::Namespaces,
        Need::Profiles,
        Need::Rivals,
        Need::Traffic,
    ])?;
    let folder = workspace::target().join("profile");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    can_sample(&folder)?;
    build_ebpf::build()?;
    build::daemon()?;
    cmd::run(cmd::cargo().args(["build", "--release", "--package", "xtask"]))?;

    let name = format!("{}-{}", args.row, args.subject);
    let data = folder.join(format!("{name}.data"));
    record(&args, &data)?;
    let folded = folded(&data)?;
    ensure!(
        folded.samples() > 0,
        "perf took no sample of anything but idling; its data are in {}",
        data.display()
    );
    let picture = folder.join(format!("{name}.svg"));
    draw(&folded, &args, &picture)?;
    println!("\n{}", folded.table(TOP));
    println!("{}", picture.display());
    Ok(())
}

/// Fails, in one sentence, where perf cannot sample: in some containers and virtual machines.
fn can_sample(folder: &Path) -> Result<()> {
    let data = folder.join("try.data");
    let mut perf = perf_record(&data);
    let tried = cmd::output(perf.arg("true"));
    let removed = fs::remove_file(&data);
    tried.map_err(|error| {
        anyhow!(
            "perf cannot sample this machine by {EVENT}: {error:#}; run it where the kernel has \
             CONFIG_PERF_EVENTS and the process CAP_PERFMON"
        )
    })?;
    removed.with_context(|| format!("{} cannot be removed", data.display()))
}

/// Runs the row under perf; the bench prints its own table.
fn record(args: &Args, data: &Path) -> Result<()> {
    let s2cs = workspace::target().join("release/s2cs");
    let mut command = perf_record(data);
    // With the binary named the bench builds nothing, which would be in the profile.
    command
        .env(bpf_tests::gateway::BINARY_VARIABLE, s2cs)
        .arg(workspace::target().join("release/xtask"))
        .args(["bench", "--repeats", "1", "--retakes", "0", "--rows"])
        .arg(&args.row)
        .arg("--subjects")
        .arg(&args.subject)
        .arg("--seconds")
        .arg(args.seconds.to_string())
        .current_dir(workspace::root())
        .env("CARGO_MANIFEST_DIR", workspace::root().join("xtask"));
    cmd::run(&mut command)
}

fn perf_record(data: &Path) -> Command {
    let mut command = Command::new("perf");
    command.args(["record", "--quiet", "--all-cpus", "-e", EVENT, "-F", RATE]);
    command
        .args(["--call-graph", "fp", "-o"])
        .arg(data)
        .arg("--");
    command
}

/// The samples as folded stacks.
fn folded(data: &Path) -> Result<Folded> {
    eprintln!("reading the samples");
    let mut script = Command::new("perf");
    script
        .args([
            "script",
            "--show-task-events",
            "-F",
            "comm,pid,tid,time,event,ip,sym,dso",
            "-i",
        ])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = script.spawn().context("perf script cannot be started")?;
    let samples = child.stdout.take().context("perf script has no output")?;
    let ours = family::samples_of(std::process::id(), BufReader::new(samples))
        .context("the output of perf script cannot be read")?;
    let status = child.wait().context("perf script cannot be waited for")?;
    ensure!(status.success(), "perf script ended with {status}");
    Folded::read(ours.as_bytes())
}

/// Draws the flame graph.
fn draw(folded: &Folded, args: &Args, picture: &PathBuf) -> Result<()> {
    let kernel = rustix::system::uname();
    let mut options = Options::default();
    options.title = format!("{} through {}", args.row, args.subject);
    options.subtitle = Some(format!(
        "Linux {}, {} samples of busy CPUs at {RATE} Hz; orange is the kernel",
        kernel.release().to_string_lossy(),
        folded.samples()
    ));
    options.colors = Palette::Multi(MultiPalette::Java);
    options.deterministic = true;
    options.count_name = "samples".to_owned();
    let mut write = || -> Result<()> {
        let mut file = BufWriter::new(File::create(picture)?);
        flamegraph::from_lines(&mut options, folded.lines(), &mut file)?;
        Ok(file.flush()?)
    };
    write().with_context(|| format!("{} cannot be written", picture.display()))
}
