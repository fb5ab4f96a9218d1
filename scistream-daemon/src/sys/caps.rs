//! Which capabilities this process holds.

use rustix::thread::{CapabilitySet, capabilities};

/// The effective capabilities that decide what the gateway can do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// CAP_BPF: load programs, make maps.
    pub bpf: bool,
    /// CAP_NET_ADMIN: attach network programs, force buffer sizes.
    pub net_admin: bool,
    /// CAP_PERFMON: programs that read kernel structures by BTF.
    pub perfmon: bool,
    /// CAP_SYS_ADMIN, which stands for the two above in the kernel's checks.
    pub sys_admin: bool,
}

/// Whether this process may go beyond the per-user limits on pipes (CAP_SYS_RESOURCE, or
/// CAP_SYS_ADMIN).
pub fn exempt_from_pipe_limits() -> bool {
    let exempting = CapabilitySet::SYS_RESOURCE | CapabilitySet::SYS_ADMIN;
    capabilities(None).is_ok_and(|sets| sets.effective.intersects(exempting))
}

impl Held {
    /// What this process holds now; nothing where the kernel does not say.
    pub fn current() -> Self {
        capabilities(None).map_or_else(
            |_refused| Self::default(),
            |sets| Self::from_effective(sets.effective),
        )
    }

    fn from_effective(effective: CapabilitySet) -> Self {
        Self {
            bpf: effective.contains(CapabilitySet::BPF),
            net_admin: effective.contains(CapabilitySet::NET_ADMIN),
            perfmon: effective.contains(CapabilitySet::PERFMON),
            sys_admin: effective.contains(CapabilitySet::SYS_ADMIN),
        }
    }

    /// What the sockmap plane needs and this process does not hold.
    pub fn missing_for_sockmap(&self) -> Vec<&'static str> {
        let Self {
            bpf,
            net_admin,
            perfmon,
            sys_admin,
        } = *self;
        [
            ("CAP_BPF", bpf || sys_admin),
            ("CAP_NET_ADMIN", net_admin),
            ("CAP_PERFMON", perfmon || sys_admin),
        ]
        .into_iter()
        .filter_map(|(name, held)| (!held).then_some(name))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sys_admin_stands_for_bpf_and_perfmon_but_not_for_net_admin() {
        let held = Held {
            sys_admin: true,
            ..Held::default()
        };
        assert_eq!(held.missing_for_sockmap(), ["CAP_NET_ADMIN"]);
    }

    #[test]
    fn the_three_capabilities_are_enough() {
        let set = CapabilitySet::BPF | CapabilitySet::NET_ADMIN | CapabilitySet::PERFMON;
        assert!(Held::from_effective(set).missing_for_sockmap().is_empty());
    }

    #[test]
    fn nothing_held_misses_all_three() {
        assert_eq!(
            Held::default().missing_for_sockmap(),
            ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]
        );
    }
}
