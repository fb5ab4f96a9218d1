//! A kernel without type information: sockmap is declined with the file's name, and the rest works.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use bpf_tests::capability::Capability;
use bpf_tests::gateway::find_s2cs;
use bpf_tests::require;

const MISSING: &str = "/sys/kernel/btf/vmlinux is missing";

/// Runs `s2cs` where `/sys/kernel/btf` is empty: in a mount namespace of its own, gone with it.
fn without_btf(s2cs: &Path, args: &[&str]) -> Result<Output> {
    let hide = "mount -t tmpfs none /sys/kernel/btf && exec \"$0\" \"$@\"";
    Command::new("unshare")
        .args(["--mount", "sh", "-c", hide])
        .arg(s2cs)
        .args(args)
        .output()
        .context("cannot run unshare")
}

#[test]
fn insisting_on_sockmap_without_btf_is_an_error_that_names_it() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let any = "127.0.0.1:0";
    let args = [
        "forward", "--plane", "sockmap", "--listen", any, "--target", any,
    ];
    let output = without_btf(&find_s2cs("debug")?, &args)?;
    let log = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1), "{}: {log}", output.status);
    ensure!(log.lines().count() == 1 && log.contains(MISSING), "{log}");
    Ok(())
}

#[test]
fn the_probe_says_what_is_missing_and_how_to_mend_it() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let output = without_btf(&find_s2cs("debug")?, &["probe"])?;
    let table = String::from_utf8(output.stdout)?;
    ensure!(table.contains("CONFIG_DEBUG_INFO_BTF"), "{table}");
    ensure!(table.contains("splice"), "{table}");
    Ok(())
}
