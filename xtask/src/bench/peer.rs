//! The programs of others: how they are configured, started and named.
//!
//! The configurations are the committed files beside this one; here their blanks are filled in.
//! Each peer runs in a PID namespace of its own, whose first process dies with our child: so the
//! workers and the forked processes of a peer end with it, however this run ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use bpf_tests::command;
use bpf_tests::netns::Place;

use super::subject::Peer;

const HAPROXY: &str = include_str!("peers/haproxy.cfg");
const NGINX: &str = include_str!("peers/nginx.conf");

/// Bytes that every peer reads and writes at once, as our copy plane does. Of 16, 64 and 256 KiB
/// the largest cost haproxy, nginx and socat the least of their own CPU time per GB, with one stream
/// and with eight (medians of eight runs).
const BUFFER: usize = 262_144;

/// Bytes of a pipe for splicing, as in our splice plane.
const PIPE: usize = 1_048_576;

/// Where distributions put nginx's dynamic modules.
const NGINX_MODULES: [&str; 3] = [
    "/usr/lib/nginx/modules/ngx_stream_module.so",
    "/usr/lib64/nginx/modules/ngx_stream_module.so",
    "/usr/share/nginx/modules/ngx_stream_module.so",
];

/// Where a peer listens, where it dials, and how many cores there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assignment {
    pub(super) listen: SocketAddr,
    pub(super) target: SocketAddr,
    pub(super) threads: usize,
}

impl Peer {
    /// The program's name.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Haproxy { .. } => "haproxy",
            Self::Nginx => "nginx",
            Self::Socat => "socat",
        }
    }

    /// The line of the program's own that has its version.
    ///
    /// Errors when it is not installed.
    pub(super) fn version(self) -> Result<String> {
        let (flag, wanted) = match self {
            Self::Haproxy { .. } | Self::Nginx => ("-v", "version"),
            Self::Socat => ("-V", "socat version"),
        };
        version_line(self.program(), flag, wanted)
    }

    /// The text of the configuration file, or of the options for one that has none.
    pub(super) fn configuration(self, folder: &Path, assignment: &Assignment) -> Result<String> {
        let Assignment {
            listen,
            target,
            threads,
        } = assignment;
        let fill = |template: &str| {
            template
                .replace("@LISTEN@", &listen.to_string())
                .replace("@TARGET@", &target.to_string())
                .replace("@THREADS@", &threads.to_string())
                .replace("@BUFFER@", &BUFFER.to_string())
                .replace("@PIPE@", &PIPE.to_string())
                .replace("@FOLDER@", &folder.to_string_lossy())
        };
        Ok(match self {
            Self::Haproxy { splice: true } => {
                fill(HAPROXY).replace("@SPLICE@", "option splice-auto")
            }
            Self::Haproxy { splice: false } => fill(HAPROXY).replace("@SPLICE@", ""),
            Self::Nginx => fill(NGINX).replace("@MODULE@", &nginx_module()?.to_string_lossy()),
            Self::Socat => socat_options(assignment).join(" "),
        })
    }

    /// The command that runs it in the foreground at `place`, its configuration in `folder`.
    ///
    /// Errors when the configuration cannot be written.
    pub(super) fn command(
        self,
        place: Place<'_>,
        folder: &Path,
        assignment: &Assignment,
    ) -> Result<Command> {
        let mut command = place.command("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--", self.program()]);
        match self {
            Self::Haproxy { .. } => {
                let file = self.write_configuration(folder, "haproxy.cfg", assignment)?;
                command.arg("-db").arg("-f").arg(file);
            }
            Self::Nginx => {
                let file = self.write_configuration(folder, "nginx.conf", assignment)?;
                command.args(["-e", "stderr", "-c"]).arg(file);
            }
            Self::Socat => {
                command.args(socat_options(assignment));
            }
        }
        Ok(command)
    }

    fn write_configuration(
        self,
        folder: &Path,
        name: &str,
        assignment: &Assignment,
    ) -> Result<PathBuf> {
        let file = folder.join(name);
        std::fs::write(&file, self.configuration(folder, assignment)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

/// socat's options: the same buffer as everybody's, no delay on both sides, a process per
/// connection (it has no other way to serve several), no limit on them.
fn socat_options(assignment: &Assignment) -> [String; 4] {
    let Assignment {
        listen,
        target,
        threads: _,
    } = assignment;
    let (address, port) = (listen.ip(), listen.port());
    [
        "-b".to_owned(),
        BUFFER.to_string(),
        format!("TCP-LISTEN:{port},bind={address},backlog=4096,fork,nodelay"),
        format!("TCP:{target},nodelay"),
    ]
}

fn nginx_module() -> Result<PathBuf> {
    let found = NGINX_MODULES
        .iter()
        .map(PathBuf::from)
        .find(|file| file.is_file());
    found.context("nginx's stream module is missing; install libnginx-mod-stream")
}

/// The first line that `program flag` writes with `wanted` in it.
///
/// Errors when the program is not installed or writes no such line.
pub(super) fn version_line(program: &str, flag: &str, wanted: &str) -> Result<String> {
    let file = command::find_program(program)
        .with_context(|| format!("`{program}` is not installed; run `cargo xtask setup`"))?;
    let output = Command::new(file)
        .arg(flag)
        .output()
        .with_context(|| format!("cannot run `{program} {flag}`"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.contains(wanted));
    line.map(|line| line.trim().to_owned())
        .with_context(|| format!("`{program} {flag}` does not tell its version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment() -> Assignment {
        Assignment {
            listen: "10.71.1.1:4001".parse().unwrap(),
            target: "10.71.2.2:5001".parse().unwrap(),
            threads: 2,
        }
    }

    #[test]
    fn every_blank_of_a_configuration_is_filled() {
        for peer in [
            Peer::Haproxy { splice: false },
            Peer::Haproxy { splice: true },
        ] {
            let text = peer
                .configuration(Path::new("/run/x"), &assignment())
                .unwrap();
            let settings: Vec<_> = text
                .lines()
                .filter(|line| !line.trim_start().starts_with('#'))
                .collect();
            assert!(settings.iter().all(|line| !line.contains('@')), "{text}");
            assert!(text.contains("bind 10.71.1.1:4001 shards"), "{text}");
            assert!(text.contains("server target 10.71.2.2:5001"), "{text}");
            assert_eq!(
                settings
                    .iter()
                    .any(|line| line.contains("option splice-auto")),
                peer == Peer::Haproxy { splice: true }
            );
        }
    }

    #[test]
    fn nginx_gets_the_same_buffer_and_threads_as_haproxy() {
        let filled = NGINX.replace("@BUFFER@", "B").replace("@THREADS@", "T");
        assert!(filled.contains("proxy_buffer_size B;") && filled.contains("worker_processes T;"));
        let filled = HAPROXY.replace("@BUFFER@", "B").replace("@THREADS@", "T");
        assert!(filled.contains("tune.bufsize B\n") && filled.contains("nbthread T\n"));
        assert!(socat_options(&assignment()).contains(&BUFFER.to_string()));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_that_says_what_to_do() {
        let error = version_line("no-such-relay", "-v", "")
            .unwrap_err()
            .to_string();
        assert!(error.contains("cargo xtask setup"), "{error}");
    }
}
