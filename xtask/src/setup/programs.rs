//! The programs that runs, tests and comparisons start: found on the system or installed by apt.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::Apt;
use super::{Need, say};
use crate::{cmd, workspace};

/// A program that a need asks for.
struct Program {
    need: Need,
    /// What must be there: a name on the path, or a file.
    proof: Proof,
    /// Debian's package that brings it.
    package: &'static str,
    /// The service that the package would start at the next boot.
    service: Option<&'static str>,
}

enum Proof {
    OnPath(&'static str),
    File(&'static str),
}

const PROGRAMS: [Program; 21] = [
    program(Need::Namespaces, "ip", "iproute2"),
    program(Need::Namespaces, "tc", "iproute2"),
    program(Need::Namespaces, "ethtool", "ethtool"),
    program(Need::Traffic, "iperf3", "iperf3"),
    program(Need::Traffic, "sockperf", "sockperf"),
    program(Need::Real, "curl", "curl"),
    program(Need::Real, "nanocat", "nanomsg-utils"),
    program(Need::Real, "node", "nodejs"),
    program(Need::Real, "npm", "npm"),
    program(Need::Real, "python3", "python3"),
    Program {
        proof: Proof::File("/usr/share/doc/python3-venv/copyright"),
        ..program(Need::Real, "", "python3-venv")
    },
    program(Need::Real, "ssh", "openssh-client"),
    Program {
        service: Some("ssh"),
        ..program(Need::Real, "sshd", "openssh-server")
    },
    program(Need::Profiles, "perf", "linux-perf"),
    program(Need::Rivals, "socat", "socat"),
    Program {
        service: Some("haproxy"),
        ..program(Need::Rivals, "haproxy", "haproxy")
    },
    Program {
        service: Some("nginx"),
        ..program(Need::Rivals, "nginx", "nginx")
    },
    Program {
        proof: Proof::File("/usr/lib/nginx/modules/ngx_stream_module.so"),
        ..program(Need::Rivals, "", "libnginx-mod-stream")
    },
    program(Need::Tunnels, "ssh", "openssh-client"),
    Program {
        service: Some("stunnel4"),
        ..program(Need::Tunnels, "stunnel", "stunnel4")
    },
    Program {
        service: Some("ssh"),
        ..program(Need::Tunnels, "sshd", "openssh-server")
    },
];

const fn program(need: Need, name: &'static str, package: &'static str) -> Program {
    Program {
        need,
        proof: Proof::OnPath(name),
        package,
        service: None,
    }
}

impl Program {
    fn is_there(&self) -> bool {
        match self.proof {
            Proof::OnPath(name) => cmd::find(name).is_some(),
            Proof::File(path) => Path::new(path).is_file(),
        }
    }
}

/// Sees to it that the programs of `needs` are there: as root by installing them, else by an error
/// that names the command.
pub(super) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Program> = PROGRAMS
        .iter()
        .filter(|program| needs.contains(&program.need) && !program.is_there())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<_> = missing.iter().map(|program| program.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let list = packages.join(" ");
    if !workspace::is_root() || cmd::find("apt-get").is_none() {
        bail!(
            "programs of these Debian packages are missing: {list}; install them with `sudo \
             apt-get install --no-install-recommends {list}` (or what your system calls them), \
             then run the command again"
        );
    }
    say(&format!("installing {list}"));
    install(&packages)?;
    let services = missing.iter().filter_map(|program| program.service);
    services.for_each(disable);
    if let Some(program) = missing.iter().find(|program| !program.is_there()) {
        bail!(
            "{} is installed, but what is wanted of it is not there",
            program.package
        );
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    let _quiet = ServicesStayDown::new()?;
    let dir = workspace::toolchain();
    if Apt::new(&dir)?.install(packages).is_ok() {
        return Ok(());
    }
    Apt::refreshed(&dir)?.install(packages)
}

/// Keeps a service that we only brought along from starting at the next boot.
fn disable(service: &str) {
    if cmd::find("systemctl").is_none() {
        return;
    }
    if let Err(error) = cmd::output(Command::new("systemctl").args(["disable", service])) {
        say(&format!(
            "the service {service} stays enabled ({error:#}); nothing here needs it"
        ));
    }
}

const POLICY: &str = "/usr/sbin/policy-rc.d";
const DENY: &str =
    "#!/bin/sh\n# Left by `cargo xtask setup` for as long as it installs packages.\nexit 101\n";

/// While this value lives, installing a package starts no service: Debian asks the policy script
/// first. A policy of the machine's owner is left as it is.
struct ServicesStayDown {
    ours: bool,
}

impl ServicesStayDown {
    fn new() -> Result<Self> {
        let path = Path::new(POLICY);
        // One that says it is ours was left by a run that was killed.
        let ours = !path.exists() || fs::read_to_string(path).is_ok_and(|text| text == DENY);
        if ours {
            fs::write(path, DENY)
                .and_then(|()| fs::set_permissions(path, executable()))
                .with_context(|| format!("{POLICY} cannot be written"))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for ServicesStayDown {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            say(&format!(
                "{POLICY} could not be removed ({error}): remove it by hand"
            ));
        }
    }
}

fn executable() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}
