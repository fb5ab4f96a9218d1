//! What the figures were taken on: without it nobody can compare them.

use std::collections::BTreeMap;
use std::fs;

use bpf_tests::topology::TcpOptions;
use rustix::process::Resource;
use serde::{Deserialize, Serialize};

/// Sysctls that shape TCP's throughput or the cost of a system call.
const SYSCTLS: [&str; 13] = [
    "kernel.sched_autogroup_enabled",
    "net.core.default_qdisc",
    "net.core.netdev_budget",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_limit_output_bytes",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_wmem",
];

/// The machine, as it says itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Machine {
    /// The CPU's model name.
    pub(crate) cpu: String,
    /// Cores this process may use.
    pub(crate) cores: usize,
    /// Whether a hypervisor is below.
    pub(crate) virtual_machine: bool,
    /// KiB of memory.
    pub(crate) memory_kib: u64,
    /// The kernel's release and version.
    pub(crate) kernel: String,
    /// The distribution.
    pub(crate) system: String,
    /// Descriptors a process may have.
    pub(crate) descriptor_limit: Option<u64>,
    /// Load averages when the run began.
    pub(crate) load_average: String,
    /// The congestion control of the hosts that were measured.
    #[serde(default)]
    pub(crate) congestion_control: String,
    /// Sysctls of the outer namespace; new namespaces inherit most of them.
    pub(crate) sysctls: BTreeMap<String, String>,
}

impl Machine {
    /// Asks the machine; what it does not tell is empty.
    pub(crate) fn look(cores: usize) -> Self {
        let cpuinfo = text("/proc/cpuinfo");
        let name = rustix::system::uname();
        let (release, version) = (name.release(), name.version());
        Self {
            cpu: after(&cpuinfo, "model name").unwrap_or_default(),
            cores,
            virtual_machine: after(&cpuinfo, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            memory_kib: after(&text("/proc/meminfo"), "MemTotal")
                .and_then(|size| size.trim_end_matches(" kB").parse().ok())
                .unwrap_or_default(),
            kernel: format!(
                "{} {}",
                release.to_string_lossy(),
                version.to_string_lossy()
            ),
            system: text("/etc/os-release")
                .lines()
                .find_map(|line| line.strip_prefix("PRETTY_NAME="))
                .map(|quoted| quoted.trim_matches('"').to_owned())
                .unwrap_or_default(),
            descriptor_limit: rustix::process::getrlimit(Resource::Nofile).current,
            load_average: text("/proc/loadavg").trim().to_owned(),
            congestion_control: TcpOptions::unpaced().congestion_control.unwrap_or_default(),
            sysctls: SYSCTLS
                .iter()
                .map(|key| (key.to_string(), sysctl(key)))
                .collect(),
        }
    }
}

fn sysctl(key: &str) -> String {
    let words = text(&format!("/proc/sys/{}", key.replace('.', "/")));
    words.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first `key : value` line.
fn after(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        let text = "model\t\t: 17\nmodel name\t: AMD EPYC\n";
        assert_eq!(after(text, "model name"), Some("AMD EPYC".to_owned()));
        assert_eq!(after(text, "name"), None);
    }

    #[test]
    fn this_machine_has_a_kernel_and_sysctls() {
        let machine = Machine::look(2);
        assert!(!machine.kernel.trim().is_empty());
        assert!(!machine.sysctls["net.ipv4.tcp_rmem"].is_empty());
    }
}
