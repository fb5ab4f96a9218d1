//! `cargo xtask run` as a person has it: from its first line to its last, without privileges, with a
//! gateway that dies, and with Ctrl-C at any moment.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bpf_tests::capability::Capability;
use bpf_tests::patience::stretched;
use bpf_tests::process::Process;
use bpf_tests::require;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

/// What takes longer than this on a busy machine has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A short run: `before` and the program, with `args`.
fn run(before: &[&str], args: &[&str]) -> Result<Process> {
    let program = env!("CARGO_BIN_EXE_xtask");
    let words: Vec<&str> = before.iter().copied().chain([program]).collect();
    let (first, others) = words.split_first().context("a program")?;
    let mut command = Command::new(first);
    command.args(others).arg("run").args(args);
    command.env_remove("TMPDIR");
    Process::spawn(command)
}

/// The processes that `parent` started, with their command lines.
fn children(parent: u32) -> Result<Vec<(u32, String)>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let id = entry.file_name().to_string_lossy().parse();
        // Whoever ends meanwhile has no files any more.
        let (Ok(id), Ok(stat)) = (id, fs::read_to_string(entry.path().join("stat"))) else {
            continue;
        };
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' '));
        if fields.and_then(|mut fields| fields.nth(1)?.parse().ok()) == Some(parent) {
            let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            children.push((id, line.replace('\0', " ")));
        }
    }
    children.sort_unstable();
    Ok(children)
}

/// Namespaces and folders of a process.
fn left_by(process: u32) -> Result<Vec<String>> {
    let prefix = format!("ss-{process}-");
    let mut left = Vec::new();
    for folder in [Path::new("/run/netns"), Path::new("/tmp")] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        left.extend(names.filter(|name| name.starts_with(&prefix)));
    }
    Ok(left)
}

fn wait_until_gone(process: u32) -> Result<()> {
    let id = Pid::from_raw(process.try_into()?).context("a process id")?;
    // Gone already is what we wait for.
    let Ok(watched) = rustix::process::pidfd_open(id, PidfdFlags::empty()) else {
        return Ok(());
    };
    let mut ended = [PollFd::new(&watched, PollFlags::IN)];
    let limit = Timespec::try_from(stretched(PATIENCE))?;
    ensure!(
        rustix::event::poll(&mut ended, Some(&limit))? == 1,
        "{process} lives on"
    );
    Ok(())
}

fn wait_for(process: &Process, words: &str) -> Result<()> {
    process.wait_for_line(stretched(PATIENCE), |line| {
        line.contains(words).then_some(())
    })
}

/// That the run showed a session from its making to its end, and left nothing.
fn shows_a_session(mut run: Process) -> Result<String> {
    run.wait_for_success(stretched(PATIENCE))?;
    let text = run.output().text();
    for words in [
        "s2cs init ",
        "s2cs serve ",
        "s2uc --json connect ",
        "iperf3 -c ",
        "every byte was compared: 0 were lost",
        "s2uc --json release ",
        "Nothing listens any more",
        "connections went through both gateways; 0 bytes were lost",
    ] {
        ensure!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    let left = left_by(run.id())?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(text)
}

const SHORT: [&str; 4] = ["--seconds", "1", "--rounds", "1"];

#[test]
fn a_run_shows_a_session_on_every_plane_from_its_making_to_its_end() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    require!(Capability::Bpf, Ok(()));
    let text = shows_a_session(run(&[], &SHORT)?)?;
    ensure!(text.contains("four network namespaces"), "{text}");
    ensure!(
        text.contains("all 8 ports of the 4 sessions refuse"),
        "{text}"
    );
    Ok(())
}

#[test]
fn without_privileges_it_says_so_and_shows_the_same_on_loopback() -> Result<()> {
    require!(Capability::Program("setpriv"), Ok(()));
    // Who is not root has no bounding set to empty, and no capability to lose.
    let without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let before = if rustix::process::geteuid().is_root() {
        &without[..]
    } else {
        &[]
    };
    let text = shows_a_session(run(before, &SHORT)?)?;
    for words in [
        "all on loopback",
        "No namespaces and no eBPF here: this process lacks CAP_SYS_ADMIN",
        "all 6 ports of the 3 sessions refuse",
    ] {
        ensure!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    Ok(())
}

#[test]
fn the_gateway_alone_is_shown_on_request() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let mut run = run(&[], &[&["forward"], &SHORT[..]].concat())?;
    run.wait_for_success(stretched(PATIENCE))?;
    let text = run.output().text();
    ensure!(
        text.contains("connections went through the gateway; 0 bytes were lost"),
        "{text}"
    );
    Ok(())
}

#[test]
fn arguments_behind_two_dashes_are_the_gateways() -> Result<()> {
    for args in [
        &["--", "s2cs", "config", "default"][..],
        &["--", "config", "default"],
    ] {
        let mut run = run(&[], args)?;
        run.wait_for_success(stretched(PATIENCE))?;
        ensure!(run.output().text().contains("[control]"), "{args:?}");
    }
    Ok(())
}

#[test]
fn a_gateway_that_dies_is_named_with_its_last_lines() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let mut run = run(&[], &SHORT)?;
    wait_for(&run, "no proxy")?;
    let gateways = children(run.id())?;
    let on_copy = gateways
        .iter()
        .find(|(_, line)| line.contains("--type copy"));
    let (victim, _) = on_copy.context("a gateway on plane copy")?;
    let victim = Pid::from_raw((*victim).try_into()?).context("a process id")?;
    rustix::process::kill_process(victim, Signal::KILL)?;
    let ended = run.wait(stretched(PATIENCE))?;
    let text = run.output().text();
    ensure!(ended.code() == Some(1), "{ended}: {text}");
    for words in [
        "error: gateway 1 on plane copy ended (signal: 9",
        "its last lines",
    ] {
        ensure!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    let left = left_by(run.id())?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

#[test]
fn ctrl_c_at_any_moment_leaves_no_namespace_no_process_and_no_file() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    for moment in [
        "producer", "1  $", "2  $", "3  $", "4  $", "no proxy", "5  ",
    ] {
        let mut run = run(&[], &SHORT)?;
        wait_for(&run, moment)?;
        let children = children(run.id())?;
        run.signal(Signal::INT)?;
        let ended = run.wait(stretched(PATIENCE))?;
        let text = run.output().text();
        ensure!(
            ended.signal() == Some(Signal::INT.as_raw()),
            "{ended} at `{moment}`: {text}"
        );
        ensure!(text.contains("stopped: "), "at `{moment}`: {text}");
        for (child, _) in children {
            wait_until_gone(child)?;
        }
        let left = left_by(run.id())?;
        ensure!(left.is_empty(), "left at `{moment}`: {left:?}");
    }
    Ok(())
}
