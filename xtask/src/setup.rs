//! `cargo xtask setup`: installs what the other commands need, once.
//!
//! Every other command calls [`ensure`] or [`bpf_toolchain`] first, so nobody has to run this by
//! hand. When everything is there it costs a few `stat` calls: a stamp file remembers the rest.

mod apt;
mod browser;
mod compiler;
mod debian;
mod linker;
mod programs;
mod real;
mod stamp;

use std::fs::{self, File};
use std::time::Instant;

use anyhow::{Context, Result};

pub(crate) use apt::Apt;
pub(crate) use browser::browser;
pub(crate) use compiler::{Compiler, Core};
pub(crate) use debian::{
    libraries as debian_libraries, rustc as debian_rustc, rustdoc as debian_rustdoc,
};
pub(crate) use stamp::BpfToolchain;

use crate::workspace;

/// Arguments of `cargo xtask setup`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these parts [default: all but profiles]
    #[arg(value_enum)]
    parts: Vec<Need>,
}

/// What a command can need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Need {
    /// A compiler for the BPF target and bpf-linker, in target/toolchain/
    Bpf,
    /// Programs that make and look at network namespaces: ip, tc, ss, ethtool
    Namespaces,
    /// The program that samples what CPUs do: perf; not part of the default
    Profiles,
    /// What tests run beside the gateway: Python's and Node's packages in target/real, nanocat, ssh,
    /// curl
    Real,
    /// The programs the gateway is compared with: haproxy, nginx with its stream module, socat
    Rivals,
    /// The tunnels it is compared with: stunnel, ssh and sshd
    Tunnels,
    /// The programs that make real load: iperf3, sockperf
    Traffic,
}

/// What CI needs.
const ALL: [Need; 6] = [
    Need::Bpf,
    Need::Namespaces,
    Need::Real,
    Need::Rivals,
    Need::Traffic,
    Need::Tunnels,
];

/// Entry point of `cargo xtask setup`.
pub(crate) fn main(args: Args) -> Result<()> {
    let Args { parts } = args;
    let started = Instant::now();
    ensure(if parts.is_empty() { &ALL } else { &parts })?;
    say(&format!(
        "all there ({:.1} s)",
        started.elapsed().as_secs_f32()
    ));
    Ok(())
}

/// Sees to it that all of `needs` are installed; the error says what is missing and every way out.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    if needs.contains(&Need::Bpf) {
        bpf_toolchain()?;
    }
    programs::ensure(needs)?;
    if needs.contains(&Need::Real) {
        real::ensure()?;
    }
    Ok(())
}

/// The toolchain for the BPF target, installed first if it is not there yet.
pub(crate) fn bpf_toolchain() -> Result<BpfToolchain> {
    let dir = workspace::toolchain();
    fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    if let Some(toolchain) = stamp::read(&dir) {
        return Ok(toolchain);
    }
    // Two commands started at once must not unpack into the same folder.
    let path = dir.join("lock");
    let lock = File::create(&path)
        .and_then(|file| file.lock().map(|()| file))
        .with_context(|| format!("{} cannot be locked", path.display()))?;
    if let Some(toolchain) = stamp::read(&dir) {
        return Ok(toolchain);
    }
    let (compiler, version) = compiler::choose(&dir)?;
    linker::install(&dir)?;
    let toolchain = BpfToolchain::new(dir, compiler, version);
    stamp::write(&toolchain)?;
    drop(lock);
    Ok(toolchain)
}

/// One line of progress.
fn say(text: &str) {
    eprintln!("setup: {text}");
}
