//! What this host can do: asked of the kernel once at start to choose planes, and by `s2cs probe`
//! for the operator, with what would mend each shortcoming.

mod checks;
mod facilities;
pub mod kernel;
pub mod report;
mod sysctl;

use std::path::Path;

use crate::errors::InFull;
use crate::sys::caps::Held;
use kernel::KernelVersion;
use report::Report;

pub use facilities::{FacilityError, splice_works};

/// The kernel's description of its own structures.
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// What the choice of planes depends on. Made from this host, or by a test.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capabilities {
    /// The running kernel.
    pub kernel: KernelVersion,
    /// Whether the kernel describes its structures (BTF).
    pub btf: bool,
    /// The capabilities this process holds.
    pub held: Held,
    /// Whether splice(2) moved a test's bytes, else what was seen.
    pub splice: Result<(), String>,
    /// What is known of sockmap beyond the above.
    pub sockmap: SockmapTest,
}

/// What is known of sockmap from trying it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SockmapTest {
    /// It did not do what it must; with what was seen.
    Failed(String),
    /// This binary has no eBPF object to try.
    NotBuilt,
    /// Nobody has tried, or something else rules it out already.
    NotRun,
    /// It does what it must.
    Passed,
}

impl Capabilities {
    /// Asks this host. The sockmap self-test costs up to 300 ms and is left to the caller, who keeps
    /// what it loads: see [`Capabilities::may_try_sockmap`].
    pub fn of_this_host() -> Self {
        Self {
            kernel: KernelVersion::running(),
            btf: Path::new(BTF).exists(),
            held: Held::current(),
            splice: splice_works().map_err(|error| InFull(&error).to_string()),
            sockmap: SockmapTest::NotRun,
        }
    }

    /// Whether nothing but a self-test stands between this host and sockmap.
    pub fn may_try_sockmap(&self) -> bool {
        crate::dataplane::choose::sockmap_decline(self).is_none()
    }

    /// The same host after the self-test.
    #[must_use]
    pub fn with_sockmap(self, sockmap: SockmapTest) -> Self {
        Self { sockmap, ..self }
    }
}

/// Looks at everything that `s2cs probe` reports.
pub fn report(host: &Capabilities) -> Report {
    let mut checks = checks::of_capabilities(host);
    checks.extend(checks::of_limits());
    checks.extend(sysctl::checks());
    Report::new(checks)
}
