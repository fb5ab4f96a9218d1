//! What this machine lets us do, and the one way to skip a test that needs more.
//!
//! A test that cannot run says why and returns; where the capability was promised
//! (`SCISTREAM_REQUIRE=bpf,netns` or `=all`, as `cargo xtask ci` sets it) it fails instead.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::command;

/// Something a test or a run needs of the machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Capability {
    /// Loading eBPF programs: CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (or root), and kernel BTF.
    Bpf,
    /// Making network namespaces: CAP_SYS_ADMIN, CAP_NET_ADMIN and iproute2.
    Netns,
    /// A program on PATH: `iperf3`, `ethtool`, `haproxy`.
    Program(&'static str),
}

/// Names the capabilities that must be there, or `all`.
pub const REQUIRE_VARIABLE: &str = "SCISTREAM_REQUIRE";

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Returns from the test when the machine lacks a capability, after saying why; panics instead
/// where `SCISTREAM_REQUIRE` promises it.
///
/// `require!(Capability::Netns)` in a test that returns nothing, or
/// `require!(Capability::Netns, Ok(()))` in one that returns a result.
#[macro_export]
macro_rules! require {
    ($capability:expr) => {
        $crate::require!($capability, ())
    };
    ($capability:expr, $skipped:expr) => {
        if !$crate::capability::granted_or_promised($capability) {
            return $skipped;
        }
    };
}

impl Capability {
    /// Whether the machine has it, or in one sentence why not.
    ///
    /// # Errors
    /// The sentence.
    pub fn check(self) -> Result<(), String> {
        match self {
            Self::Bpf => {
                hold(&[
                    (CAP_BPF, "CAP_BPF"),
                    (CAP_NET_ADMIN, "CAP_NET_ADMIN"),
                    (CAP_PERFMON, "CAP_PERFMON"),
                ])?;
                if Path::new("/sys/kernel/btf/vmlinux").exists() {
                    Ok(())
                } else {
                    Err("this kernel has no BTF (/sys/kernel/btf/vmlinux)".to_owned())
                }
            }
            Self::Netns => {
                hold(&[
                    (CAP_SYS_ADMIN, "CAP_SYS_ADMIN"),
                    (CAP_NET_ADMIN, "CAP_NET_ADMIN"),
                ])?;
                Self::Program("ip").check()
            }
            Self::Program(program) => match command::find_program(program) {
                Some(_) => Ok(()),
                None => Err(format!("`{program}` is not installed")),
            },
        }
    }

    fn promised(self) -> bool {
        let promised = std::env::var(REQUIRE_VARIABLE).unwrap_or_default();
        let name = self.to_string();
        promised
            .split(',')
            .any(|word| word == "all" || word == name)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bpf => "bpf",
            Self::Netns => "netns",
            Self::Program(program) => program,
        })
    }
}

/// What [`require!`] asks: true when the test may go on, false when it must be skipped.
#[expect(
    clippy::panic,
    reason = "a promise that is not kept must fail the test"
)]
pub fn granted_or_promised(capability: Capability) -> bool {
    let Err(reason) = capability.check() else {
        return true;
    };
    if capability.promised() {
        panic!("{REQUIRE_VARIABLE} promises `{capability}`, but {reason}");
    }
    eprintln!("skipped: needs `{capability}`, but {reason}");
    false
}

/// Whether this process holds all of these capabilities.
fn hold(wanted: &[(u32, &str)]) -> Result<(), String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default();
    match wanted.iter().find(|(bit, _)| mask & (1 << bit) == 0) {
        None => Ok(()),
        Some((_, name)) => Err(format!("this process lacks {name}; run it as root")),
    }
}
