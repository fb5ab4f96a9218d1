//! The tunnels of others: stunnel and ssh, one end on either side.
//!
//! ```text
//!   ──TCP──► stunnel (encrypts) ══TLS 1.3══► stunnel (decrypts) ──TCP──► target
//!   ──TCP──► ssh -L ═══════════════SSH═════► sshd ──────────────TCP──► target
//! ```
//!
//! Both encrypt, which none of the others does: they stand here for what the field uses today. The
//! configurations are the committed files beside this one, with the reasons beside each line.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use bpf_tests::command;
use bpf_tests::netns::Place;

use super::peer::version_line;
use super::subject::Tunnel;

const STUNNEL: &str = include_str!("peers/stunnel.conf");
const SSHD: &str = include_str!("peers/sshd_config");
const SSH: &str = include_str!("peers/ssh_config");

/// Where sshd keeps its children while they have no rights; the service makes it, which does not
/// run here.
const SSHD_EMPTY_FOLDER: &str = "/run/sshd";

/// Bytes of the key that both stunnels share.
const KEY_BYTES: usize = 32;

impl Tunnel {
    /// The program's version.
    ///
    /// Errors when it is not installed.
    pub(super) fn version(self) -> Result<String> {
        match self {
            Self::Stunnel => version_line("stunnel", "-version", "stunnel 5"),
            Self::Ssh => version_line("ssh", "-V", "OpenSSH"),
        }
    }

    /// The text of the configuration files, their blanks not filled in.
    pub(super) fn configuration(self) -> &'static str {
        match self {
            Self::Stunnel => STUNNEL,
            Self::Ssh => concat!(
                include_str!("peers/sshd_config"),
                "\n",
                include_str!("peers/ssh_config")
            ),
        }
    }

    /// Makes the keys of one tunnel in `folder`; `between` is where its far end will listen.
    ///
    /// Errors when they cannot be made or written.
    pub(super) fn make_keys(self, folder: &Path, between: SocketAddr) -> Result<()> {
        match self {
            Self::Stunnel => {
                let mut key = [0_u8; KEY_BYTES];
                let random = fs::File::open("/dev/urandom");
                random
                    .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut key))
                    .context("cannot read /dev/urandom")?;
                let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                write_private(&folder.join("psk"), &format!("bench:{hex}\n"))
            }
            Self::Ssh => make_ssh_keys(folder, between),
        }
    }

    /// The far end in the foreground at `place`: listens at `hops.0`, dials `hops.1`.
    ///
    /// Errors when its configuration cannot be written.
    pub(super) fn far_command(
        self,
        place: Place<'_>,
        folder: &Path,
        hops: (SocketAddr, SocketAddr),
    ) -> Result<Command> {
        let mut command = alone(place);
        match self {
            Self::Stunnel => {
                let file = stunnel_end(folder, "far", hops)?;
                command.arg(program("stunnel")?).arg(file);
            }
            Self::Ssh => {
                fs::create_dir_all(SSHD_EMPTY_FOLDER)
                    .with_context(|| format!("cannot make {SSHD_EMPTY_FOLDER}"))?;
                let text = fill(SSHD, folder)
                    .replace("@ADDRESS@", &hops.0.ip().to_string())
                    .replace("@PORT@", &hops.0.port().to_string());
                let file = write(folder, "sshd_config", &text)?;
                // sshd starts itself anew for each connection and so wants its full path.
                command
                    .arg(program("sshd")?)
                    .args(["-D", "-e", "-f"])
                    .arg(file);
            }
        }
        Ok(command)
    }

    /// The near end in the foreground at `place`: listens at `hops.0`, reaches the far end at
    /// `hops.1`, which dials `hops.2`.
    ///
    /// Errors when its configuration cannot be written.
    pub(super) fn near_command(
        self,
        place: Place<'_>,
        folder: &Path,
        hops: (SocketAddr, SocketAddr, SocketAddr),
    ) -> Result<Command> {
        let (listen, between, target) = hops;
        let mut command = alone(place);
        match self {
            Self::Stunnel => {
                let file = stunnel_end(folder, "near", (listen, between))?;
                command.arg(program("stunnel")?).arg(file);
            }
            Self::Ssh => {
                let file = write(folder, "ssh_config", &fill(SSH, folder))?;
                command.arg(program("ssh")?).args(["-N", "-F"]).arg(file);
                command.arg("-L").arg(format!("{listen}:{target}"));
                command.args(["-p", &between.port().to_string()]);
                command.arg(format!("root@{}", between.ip()));
            }
        }
        Ok(command)
    }
}

/// A PID namespace of its own, whose first process dies with our child: what it forks goes, too.
fn alone(place: Place<'_>) -> Command {
    let mut command = place.command("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--"]);
    command
}

fn stunnel_end(folder: &Path, end: &str, hops: (SocketAddr, SocketAddr)) -> Result<PathBuf> {
    let encrypts = if end == "near" { "yes" } else { "no" };
    let text = fill(STUNNEL, folder)
        .replace("@ENCRYPTS@", encrypts)
        .replace("@LISTEN@", &hops.0.to_string())
        .replace("@TARGET@", &hops.1.to_string());
    write(folder, &format!("stunnel-{end}.conf"), &text)
}

fn make_ssh_keys(folder: &Path, between: SocketAddr) -> Result<()> {
    let mut public = Vec::new();
    for name in ["host_key", "user_key"] {
        let file = folder.join(name);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f"]);
        command::run(keygen.arg(&file))?;
        let written = folder.join(format!("{name}.pub"));
        let text = fs::read_to_string(&written)
            .with_context(|| format!("cannot read {}", written.display()))?;
        public.push(text);
    }
    let known = format!("[{}]:{} {}", between.ip(), between.port(), public[0]);
    write(folder, "known_hosts", &known)?;
    write(folder, "authorized_keys", &public[1])?;
    Ok(())
}

fn fill(template: &str, folder: &Path) -> String {
    template.replace("@FOLDER@", &folder.to_string_lossy())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn write_private(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text)
        .and_then(|()| fs::set_permissions(file, fs::Permissions::from_mode(0o600)))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn program(name: &str) -> Result<PathBuf> {
    command::find_program(name)
        .with_context(|| format!("`{name}` is not installed; run `cargo xtask setup`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blank_is_one_that_is_filled() {
        let filled = [
            "@FOLDER@",
            "@ENCRYPTS@",
            "@LISTEN@",
            "@TARGET@",
            "@ADDRESS@",
            "@PORT@",
        ];
        for template in [STUNNEL, SSHD, SSH] {
            let mut rest = template.to_owned();
            for blank in filled {
                rest = rest.replace(blank, "");
            }
            let settings = rest.lines().filter(|line| !line.starts_with(['#', ';']));
            let left: Vec<_> = settings.filter(|line| line.contains('@')).collect();
            // The cipher is called so.
            let left: Vec<_> = left
                .iter()
                .filter(|line| !line.contains("@openssh.com"))
                .collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    #[test]
    fn both_tunnels_use_the_same_cipher() {
        assert!(STUNNEL.contains("TLS_AES_128_GCM_SHA256"));
        assert!(SSH.contains("aes128-gcm@openssh.com"));
    }
}
