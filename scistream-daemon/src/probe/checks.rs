//! The checks of the kernel, the planes and this process's limits.

use std::fs;

use super::facilities;
use super::kernel::{SockmapGate, sockmap_gate};
use super::report::{Check, Status};
use super::{Capabilities, SockmapTest};
use crate::dataplane::choose::{sockmap_decline, splice_decline};
use crate::dataplane::congestion::FOR_LOSSES;
use crate::errors::InFull;
use crate::limits;
use crate::sys::rlimit::OpenFiles;

/// Kernel, BTF, capabilities, and each way of moving bytes.
pub(super) fn of_capabilities(host: &Capabilities) -> Vec<Check> {
    vec![
        kernel(host),
        btf(host),
        capabilities(host),
        sockmap(host),
        splice(host),
        ktls(),
        congestion_control(),
    ]
}

/// What this process may hold.
pub(super) fn of_limits() -> Vec<Check> {
    vec![open_files(), pipe_pages(), pipe_size()]
}

fn kernel(host: &Capabilities) -> Check {
    let check = |wanted: String| Check::ok("kernel", host.kernel.to_string(), wanted);
    match sockmap_gate(host.kernel) {
        SockmapGate::Recommended => check("sockmap fixes".to_owned()),
        SockmapGate::Works { recommended } => check(format!("{recommended} or later")).but(
            Status::Warn,
            "sockmap keeps data whole here but lacks later fixes; update the kernel",
        ),
        SockmapGate::TooOld { wanted } => check(format!("{wanted} or later")).but(
            Status::Fail,
            "sockmap loses or repeats data here; update the kernel",
        ),
    }
}

fn btf(host: &Capabilities) -> Check {
    if host.btf {
        return Check::ok("btf", "present", "present");
    }
    Check::ok("btf", "missing", "present").but(
        Status::Fail,
        "run a kernel built with CONFIG_DEBUG_INFO_BTF",
    )
}

fn capabilities(host: &Capabilities) -> Check {
    let missing = host.held.missing_for_sockmap();
    let wanted = "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON";
    if missing.is_empty() {
        return Check::ok("capabilities", "held", wanted);
    }
    Check::ok(
        "capabilities",
        format!("without {}", missing.join(", ")),
        wanted,
    )
    .but(
        Status::Fail,
        "run as root, or grant them (systemd: AmbientCapabilities=)",
    )
}

fn sockmap(host: &Capabilities) -> Check {
    let wanted = "self-test passed";
    match (sockmap_decline(host), &host.sockmap) {
        (Some(reason), _) => {
            Check::ok("sockmap", "declined", wanted).but(Status::Fail, reason.to_string())
        }
        (None, SockmapTest::Passed) => Check::ok("sockmap", "self-test passed", wanted),
        (None, SockmapTest::Failed(_) | SockmapTest::NotBuilt | SockmapTest::NotRun) => {
            Check::ok("sockmap", "not tried", wanted).but(Status::Warn, "run `s2cs probe`")
        }
    }
}

fn splice(host: &Capabilities) -> Check {
    let wanted = "moves bytes between sockets";
    match splice_decline(host) {
        None => Check::ok("splice", "works", wanted),
        Some(reason) => {
            Check::ok("splice", "declined", wanted).but(Status::Fail, reason.to_string())
        }
    }
}

fn ktls() -> Check {
    let wanted = "usable on a TCP socket";
    match facilities::ktls_works() {
        Ok(()) => Check::ok("ktls", "usable", wanted),
        Err(error) => Check::ok("ktls", InFull(&error).to_string(), wanted).but(
            Status::Warn,
            "TLS will be done in user space; `modprobe tls`, or a kernel with CONFIG_TLS",
        ),
    }
}

fn congestion_control() -> Check {
    let wanted = "usable on a TCP socket";
    match facilities::congestion_control_works() {
        Ok(()) => Check::ok(FOR_LOSSES, "usable", wanted),
        Err(error) => Check::ok(FOR_LOSSES, InFull(&error).to_string(), wanted).but(
            Status::Warn,
            "long paths that lose packets will be slow; `modprobe tcp_bbr`, or a kernel with CONFIG_TCP_CONG_BBR",
        ),
    }
}

fn open_files() -> Check {
    let OpenFiles { soft: possible, .. } = limits::raise_open_files();
    let wanted = limits::WANTED_OPEN_FILES;
    let check = Check::ok(
        "open files",
        possible.to_string(),
        format!("{wanted} or more"),
    );
    if possible >= wanted {
        return check;
    }
    check.but(
        Status::Warn,
        format!("fewer connections at once; ulimit -Hn {wanted}, or systemd: LimitNOFILE={wanted}"),
    )
}

fn pipe_pages() -> Check {
    const NAME: &str = "fs.pipe-user-pages-soft";
    let found = read_number("/proc/sys/fs/pipe-user-pages-soft");
    let wanted = "0 (no limit), or held CAP_SYS_RESOURCE";
    match found {
        Some(0) => Check::ok(NAME, "0", wanted),
        Some(pages) if crate::sys::caps::exempt_from_pipe_limits() => {
            Check::ok(NAME, format!("{pages}, not for this user"), wanted)
        }
        Some(pages) => Check::ok(NAME, pages.to_string(), wanted).but(
            Status::Warn,
            format!(
                "bulk streams beyond {} get smaller pipes; sysctl -w {NAME}=0",
                pages / 512
            ),
        ),
        None => Check::ok(NAME, "unreadable", wanted).but(Status::Warn, "mount /proc"),
    }
}

fn pipe_size() -> Check {
    const NAME: &str = "fs.pipe-max-size";
    const WANTED: u64 = 1 << 20;
    let found = read_number("/proc/sys/fs/pipe-max-size").unwrap_or(0);
    let check = Check::ok(NAME, found.to_string(), format!("{WANTED} or more"));
    if found >= WANTED {
        return check;
    }
    check.but(Status::Warn, format!("sysctl -w {NAME}={WANTED}"))
}

fn read_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel::KernelVersion;
    use crate::sys::caps::Held;

    fn statuses(host: &Capabilities) -> Vec<(&'static str, Status)> {
        of_capabilities(host)
            .into_iter()
            .filter(|check| !["ktls", FOR_LOSSES].contains(&check.name))
            .map(|check| (check.name, check.status))
            .collect()
    }

    #[test]
    fn an_able_host_is_ok_throughout() {
        let host = Capabilities {
            kernel: KernelVersion::new(6, 18, 44),
            btf: true,
            held: Held {
                bpf: true,
                net_admin: true,
                perfmon: true,
                sys_admin: false,
            },
            splice: Ok(()),
            sockmap: SockmapTest::Passed,
        };
        assert!(
            statuses(&host)
                .iter()
                .all(|&(_, status)| status == Status::Ok)
        );
    }

    #[test]
    fn a_host_that_can_nothing_fails_throughout() {
        let host = Capabilities {
            kernel: KernelVersion::new(5, 10, 0),
            btf: false,
            held: Held::default(),
            splice: Err("EINVAL".to_owned()),
            sockmap: SockmapTest::NotBuilt,
        };
        assert!(
            statuses(&host)
                .iter()
                .all(|&(_, status)| status == Status::Fail)
        );
    }
}
