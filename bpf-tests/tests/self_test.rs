//! The gateway tries the kernel's sockmap before it trusts it, and what it finds holds for as long
//! as it runs: getting little CPU meanwhile must not look like a fault of the kernel.

use std::ops::Range;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bpf_tests::capability::Capability;
use bpf_tests::gateway::find_s2cs;
use bpf_tests::patience::stretched;
use bpf_tests::process::Process;
use bpf_tests::require;
use bpf_tests::traffic::{Draw, Seed};
use rustix::process::Signal;
use serde_json::Value;

/// How often the gateway is started.
const STARTS: u32 = 5;

/// How long it is stopped: longer than a sender has no room before it counts as held back.
const STOPPED: Duration = Duration::from_millis(30);

/// How long it runs between two stops: at least as long as the kernel needs for one program, which it
/// does not take while a stop waits, and less long than the test of sockmap takes.
const RUNNING_MICROS: Range<u64> = 5_000..10_000;

#[test]
fn a_gateway_that_is_stopped_again_and_again_still_trusts_the_kernel() -> Result<()> {
    require!(Capability::Bpf, Ok(()));
    let seed = Seed::from_env()?;
    println!("{}", seed.replay());
    for _ in 0..STARTS {
        let found = found_with_stops(Draw::new(seed.derive()))?;
        ensure!(found == "self-test passed", "the probe says: {found}");
    }
    Ok(())
}

/// What the probe finds of sockmap while it is stopped and continued.
fn found_with_stops(mut draw: Draw) -> Result<String> {
    let mut command = Command::new(find_s2cs("debug")?);
    command.args(["probe", "--json"]);
    let mut probe = Process::spawn(command)?;
    let deadline = Instant::now() + stretched(Duration::from_secs(60));
    let mut running = || stretched(Duration::from_micros(draw.within(RUNNING_MICROS)));
    while !probe.ends_within(running())? {
        ensure!(Instant::now() < deadline, "{}", probe.output().tail());
        probe.signal(Signal::STOP)?;
        // The disturbance itself: nothing is waited for.
        thread::sleep(STOPPED);
        probe.signal(Signal::CONT)?;
    }
    probe.wait(stretched(Duration::from_secs(5)))?;
    let report: Value = serde_json::from_str(&probe.output().text())?;
    let checks = report["checks"].as_array().context("no checks")?;
    let check = checks.iter().find(|check| check["name"] == "sockmap");
    let check = check.context("no check of sockmap")?;
    let found = check["found"].as_str().context("nothing was found")?;
    let mend = check["mend"].as_str().unwrap_or_default();
    Ok(format!("{found} {mend}").trim_end().to_owned())
}
