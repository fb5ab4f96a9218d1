//! Which plane a gateway runs on: a pure function of what was asked for and what this host can do.
//! Every plane passed over leaves a reason for the operator.

use std::fmt;

use crate::dataplane::{Plane, PlaneChoice};
use crate::probe::kernel::{KernelVersion, SockmapGate, sockmap_gate};
use crate::probe::{Capabilities, SockmapTest};

/// What to run on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chosen {
    /// Asked for, less what this host cannot: `Auto` means splice and sockmap, by behaviour.
    pub plane: PlaneChoice,
    /// The planes passed over.
    pub declined: Vec<Decline>,
}

/// A plane that this host cannot offer, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the {plane} plane cannot work here: {reason}")]
pub struct Decline {
    /// The plane.
    pub plane: Plane,
    /// Why not.
    pub reason: DeclineReason,
}

/// Why a plane cannot work on this host; each displays with what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DeclineReason {
    /// This kernel's sockmap loses or duplicates data.
    KernelTooOld {
        /// The running kernel.
        found: KernelVersion,
        /// The first one of its series, or of all, with the fixes.
        wanted: KernelVersion,
    },
    /// The kernel does not describe its structures.
    MissingBtf,
    /// The process may not load or attach the programs.
    MissingCapabilities(Vec<&'static str>),
    /// The eBPF object was not there when this binary was built.
    MissingObject,
    /// The self-test did not come out as it must; with what was seen.
    SelfTestFailed(String),
    /// splice(2) did not move the test's bytes; with what was seen.
    SpliceRefused(String),
}

impl DeclineReason {
    /// The label in metrics: one word per kind.
    pub fn label(&self) -> &'static str {
        match self {
            Self::KernelTooOld { .. } => "kernel_too_old",
            Self::MissingBtf => "missing_btf",
            Self::MissingCapabilities(_) => "missing_capabilities",
            Self::MissingObject => "missing_object",
            Self::SelfTestFailed(_) => "self_test_failed",
            Self::SpliceRefused(_) => "splice_refused",
        }
    }
}

impl fmt::Display for DeclineReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KernelTooOld { found, wanted } => write!(
                f,
                "kernel {found} loses or repeats sockmap data, {wanted} has the fixes; update it"
            ),
            Self::MissingBtf => f.write_str(
                "/sys/kernel/btf/vmlinux is missing; run a kernel built with CONFIG_DEBUG_INFO_BTF",
            ),
            Self::MissingCapabilities(missing) => write!(
                f,
                "{} not held; run as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
                missing.join(", ")
            ),
            Self::MissingObject => {
                f.write_str("built without the eBPF object; build with `cargo xtask build`")
            }
            Self::SelfTestFailed(seen) => write!(f, "its self-test failed: {seen}"),
            Self::SpliceRefused(seen) => write!(f, "splice(2) failed its test: {seen}"),
        }
    }
}

/// Picks the plane.
///
/// # Errors
/// When a plane was insisted on that this host cannot offer.
pub fn choose(asked: PlaneChoice, host: &Capabilities) -> Result<Chosen, Decline> {
    let sockmap = || refuse(Plane::Sockmap, sockmap_decline(host));
    let splice = || refuse(Plane::Splice, splice_decline(host));
    let insisted = |plane| Chosen {
        plane,
        declined: Vec::new(),
    };
    match asked {
        PlaneChoice::Copy => Ok(insisted(PlaneChoice::Copy)),
        PlaneChoice::Sockmap => sockmap().map(|()| insisted(PlaneChoice::Sockmap)),
        PlaneChoice::Splice => splice().map(|()| insisted(PlaneChoice::Splice)),
        PlaneChoice::Auto => Ok(best_of(sockmap(), splice())),
    }
}

fn best_of(sockmap: Result<(), Decline>, splice: Result<(), Decline>) -> Chosen {
    let plane = match (&sockmap, &splice) {
        (Ok(()), Ok(())) => PlaneChoice::Auto,
        (Ok(()), Err(_)) => PlaneChoice::Sockmap,
        (Err(_), Ok(())) => PlaneChoice::Splice,
        (Err(_), Err(_)) => PlaneChoice::Copy,
    };
    Chosen {
        plane,
        declined: sockmap.err().into_iter().chain(splice.err()).collect(),
    }
}

fn refuse(plane: Plane, reason: Option<DeclineReason>) -> Result<(), Decline> {
    reason.map_or(Ok(()), |reason| Err(Decline { plane, reason }))
}

/// Why sockmap cannot work here, if so; the cause that lies deepest first.
pub fn sockmap_decline(host: &Capabilities) -> Option<DeclineReason> {
    if host.sockmap == SockmapTest::NotBuilt {
        return Some(DeclineReason::MissingObject);
    }
    if let SockmapGate::TooOld { wanted } = sockmap_gate(host.kernel) {
        return Some(DeclineReason::KernelTooOld {
            found: host.kernel,
            wanted,
        });
    }
    if !host.btf {
        return Some(DeclineReason::MissingBtf);
    }
    let missing = host.held.missing_for_sockmap();
    if !missing.is_empty() {
        return Some(DeclineReason::MissingCapabilities(missing));
    }
    match &host.sockmap {
        SockmapTest::Failed(seen) => Some(DeclineReason::SelfTestFailed(seen.clone())),
        SockmapTest::NotBuilt | SockmapTest::NotRun | SockmapTest::Passed => None,
    }
}

/// Why splice(2) cannot work here, if so.
pub fn splice_decline(host: &Capabilities) -> Option<DeclineReason> {
    let refused = host.splice.as_ref().err()?;
    Some(DeclineReason::SpliceRefused(refused.clone()))
}

/// The option's spelling of a choice.
pub fn choice_name(choice: PlaneChoice) -> &'static str {
    match choice {
        PlaneChoice::Auto => "auto",
        PlaneChoice::Copy => Plane::Copy.as_str(),
        PlaneChoice::Sockmap => Plane::Sockmap.as_str(),
        PlaneChoice::Splice => Plane::Splice.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::caps::Held;

    fn able() -> Capabilities {
        Capabilities {
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
        }
    }

    fn broken_splice(host: Capabilities) -> Capabilities {
        Capabilities {
            splice: Err("EINVAL".to_owned()),
            ..host
        }
    }

    fn sockmap_refusals() -> Vec<(&'static str, Capabilities)> {
        let kernel = KernelVersion::new(5, 15, 200);
        let failed = SockmapTest::Failed("a byte was lost".to_owned());
        vec![
            ("kernel_too_old", Capabilities { kernel, ..able() }),
            (
                "missing_btf",
                Capabilities {
                    btf: false,
                    ..able()
                },
            ),
            (
                "missing_capabilities",
                Capabilities {
                    held: Held::default(),
                    ..able()
                },
            ),
            (
                "missing_object",
                Capabilities {
                    sockmap: SockmapTest::NotBuilt,
                    ..able()
                },
            ),
            (
                "self_test_failed",
                Capabilities {
                    sockmap: failed,
                    ..able()
                },
            ),
        ]
    }

    #[test]
    fn an_able_host_gets_what_was_asked_for() {
        for asked in [
            PlaneChoice::Auto,
            PlaneChoice::Copy,
            PlaneChoice::Sockmap,
            PlaneChoice::Splice,
        ] {
            let chosen = choose(asked, &able()).unwrap();
            assert_eq!((chosen.plane, chosen.declined), (asked, Vec::new()));
        }
    }

    #[test]
    fn auto_falls_back_to_splice_with_the_reason_that_kept_sockmap_out() {
        for (label, host) in sockmap_refusals() {
            let chosen = choose(PlaneChoice::Auto, &host).unwrap();
            assert_eq!(chosen.plane, PlaneChoice::Splice, "{label}");
            let reasons: Vec<_> = chosen
                .declined
                .iter()
                .map(|decline| (decline.plane, decline.reason.label()))
                .collect();
            assert_eq!(reasons, [(Plane::Sockmap, label)]);
        }
    }

    #[test]
    fn auto_falls_back_to_copy_where_splice_fails_too() {
        for (label, host) in sockmap_refusals() {
            let chosen = choose(PlaneChoice::Auto, &broken_splice(host)).unwrap();
            assert_eq!(
                (chosen.plane, chosen.declined.len()),
                (PlaneChoice::Copy, 2),
                "{label}"
            );
        }
    }

    #[test]
    fn auto_is_sockmap_alone_where_only_splice_fails() {
        let chosen = choose(PlaneChoice::Auto, &broken_splice(able())).unwrap();
        assert_eq!(chosen.plane, PlaneChoice::Sockmap);
        assert_eq!(chosen.declined[0].reason.label(), "splice_refused");
    }

    #[test]
    fn insisting_on_what_cannot_work_is_an_error_that_says_why() {
        for (label, host) in sockmap_refusals() {
            let decline = choose(PlaneChoice::Sockmap, &host).unwrap_err();
            assert_eq!(
                (decline.plane, decline.reason.label()),
                (Plane::Sockmap, label)
            );
            assert!(
                decline
                    .to_string()
                    .starts_with("the sockmap plane cannot work here: ")
            );
        }
        let decline = choose(PlaneChoice::Splice, &broken_splice(able())).unwrap_err();
        assert_eq!(decline.plane, Plane::Splice);
    }

    #[test]
    fn copy_needs_nothing() {
        let mut host = broken_splice(able());
        host.held = Held::default();
        assert_eq!(
            choose(PlaneChoice::Copy, &host).unwrap().plane,
            PlaneChoice::Copy
        );
    }

    #[test]
    fn missing_capabilities_are_named() {
        let reason = DeclineReason::MissingCapabilities(vec!["CAP_BPF", "CAP_PERFMON"]);
        assert!(
            reason
                .to_string()
                .starts_with("CAP_BPF, CAP_PERFMON not held")
        );
    }
}
