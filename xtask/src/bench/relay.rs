//! One subject, running on one host, or on two.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bpf_tests::cleanup;
use bpf_tests::gateway::{Gateway, GatewayOptions, Plane};
use bpf_tests::netns::{Netns, Place};
use bpf_tests::process::Process;

use super::peer::{Assignment, version_line};
use super::process_tree::ProcessTree;
use super::subject::{Maker, Peer, Subject, SubjectFacts, Tunnel};

/// How long a peer may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// How long our own may take to end once its connections are closed.
const END_DEADLINE: Duration = Duration::from_secs(15);

/// How often a starting peer is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Where no address is known yet.
const BLANK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What the name of a run's folder begins with; its process follows.
const FOLDER_PREFIX: &str = "run-";

/// What starting a subject takes.
#[derive(Debug)]
pub(super) struct Workshop {
    folder: PathBuf,
    s2cs: Option<PathBuf>,
    threads: usize,
    started: AtomicU32,
}

/// A host that relays: where, and the address of it that whoever comes before dials.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'a> {
    pub(super) netns: &'a Netns,
    pub(super) address: IpAddr,
}

/// A running subject. Ends when dropped.
#[derive(Debug)]
pub(super) struct Relay {
    address: SocketAddr,
    program: Program,
}

#[derive(Debug)]
enum Program {
    None,
    Ours(Box<Gateway>),
    /// The one that is dialled first; with a tunnel there are two.
    Peers(Vec<Process>),
}

impl Workshop {
    /// Makes a folder for configurations below `parent`; it is removed at the end, also by
    /// Ctrl-C. `s2cs` is our own binary, where it is needed.
    ///
    /// Errors when the folder cannot be made.
    pub(super) fn open(parent: &Path, s2cs: Option<PathBuf>, threads: usize) -> Result<Self> {
        sweep(parent);
        let folder = parent.join(format!("{FOLDER_PREFIX}{}", std::process::id()));
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let on_signal = folder.clone();
        cleanup::on_ending_signal(move || drop(fs::remove_dir_all(on_signal)))?;
        Ok(Self {
            folder,
            s2cs,
            threads,
            started: AtomicU32::new(0),
        })
    }

    /// Starts `subject` before `target` and waits until it listens: at `spots.0`, and for a tunnel
    /// its far end at `spots.1`.
    ///
    /// Errors when it is not installed, does not start, or is not what was asked for.
    pub(super) fn start(
        &self,
        subject: Subject,
        spots: (Spot<'_>, Spot<'_>),
        target: SocketAddr,
    ) -> Result<Relay> {
        let relay = match subject.maker() {
            Maker::Nobody => Ok(Relay {
                address: target,
                program: Program::None,
            }),
            Maker::Ours(plane) => self.start_ours(plane, spots.0, target),
            Maker::Peer(peer) => self.start_peer(peer, spots.0, target),
            Maker::Tunnel(tunnel) => self.start_tunnel(tunnel, spots, target),
        };
        relay.with_context(|| format!("cannot start {subject}"))
    }

    /// Our own binary.
    ///
    /// Errors when the run was set up without it.
    pub(super) fn s2cs(&self) -> Result<&Path> {
        self.s2cs
            .as_deref()
            .context("this run was set up without s2cs")
    }

    /// What a subject is, for the record.
    ///
    /// Errors when it is not installed.
    pub(super) fn facts(&self, subject: Subject) -> Result<SubjectFacts> {
        let assignment = Assignment {
            listen: BLANK,
            target: BLANK,
            threads: self.threads,
        };
        let (version, configuration) = match subject.maker() {
            Maker::Nobody => (
                "the kernel routes".to_owned(),
                "net.ipv4.ip_forward=1".to_owned(),
            ),
            Maker::Ours(plane) => {
                let program = self.s2cs()?.to_string_lossy();
                let version = version_line(&program, "--version", "s2cs")?;
                (version, format!("s2cs forward --plane {plane}"))
            }
            Maker::Peer(peer) => (
                peer.version()?,
                peer.configuration("FOLDER".as_ref(), &assignment)?,
            ),
            Maker::Tunnel(tunnel) => (tunnel.version()?, tunnel.configuration().to_owned()),
        };
        Ok(SubjectFacts {
            version,
            configuration,
        })
    }

    fn start_ours(&self, plane: Plane, spot: Spot<'_>, target: SocketAddr) -> Result<Relay> {
        let gateway = GatewayOptions::new(self.s2cs()?, plane)
            .listen(spot.address)
            .target(target)
            .start(spot.netns)?;
        let chosen = gateway.plane()?;
        ensure!(
            chosen == plane.as_str(),
            "it runs on {chosen} though {plane} was asked for"
        );
        let address = gateway.address()?;
        Ok(Relay {
            address,
            program: Program::Ours(Box::new(gateway)),
        })
    }

    fn start_peer(&self, peer: Peer, spot: Spot<'_>, target: SocketAddr) -> Result<Relay> {
        let listen = spot.free()?;
        let assignment = Assignment {
            listen,
            target,
            threads: self.threads,
        };
        let folder = self.folder_for_one()?;
        let process = launch(
            peer.command(spot.netns.into(), &folder, &assignment)?,
            listen,
        )?;
        Ok(Relay {
            address: listen,
            program: Program::Peers(vec![process]),
        })
    }

    fn start_tunnel(
        &self,
        tunnel: Tunnel,
        (near, far): (Spot<'_>, Spot<'_>),
        target: SocketAddr,
    ) -> Result<Relay> {
        let folder = self.folder_for_one()?;
        let between = far.free()?;
        tunnel.make_keys(&folder, between)?;
        let end = tunnel.far_command(far.netns.into(), &folder, (between, target))?;
        let end = launch(end, between)?;
        let listen = near.free()?;
        let hops = (listen, between, target);
        let entry = launch(
            tunnel.near_command(near.netns.into(), &folder, hops)?,
            listen,
        )?;
        Ok(Relay {
            address: listen,
            program: Program::Peers(vec![entry, end]),
        })
    }

    /// A folder that no other relay of this run writes into.
    fn folder_for_one(&self) -> Result<PathBuf> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(number.to_string());
        fs::create_dir(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(folder)
    }
}

impl Spot<'_> {
    fn free(self) -> Result<SocketAddr> {
        let port = Place::from(self.netns).free_port(self.address)?;
        Ok(SocketAddr::new(self.address, port))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

impl Relay {
    /// What the producer dials.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its processes; none when there is no relay.
    pub(super) fn processes(&self) -> Vec<ProcessTree> {
        match &self.program {
            Program::None => Vec::new(),
            Program::Ours(gateway) => vec![ProcessTree::of(gateway.id())],
            Program::Peers(peers) => {
                let trees = peers.iter().map(|process| ProcessTree::of(process.id()));
                trees.collect()
            }
        }
    }

    /// Ends it. Of our own: the share of the bytes towards the target that the sockmap
    /// redirected.
    ///
    /// Errors when our own does not end cleanly or counted a loss.
    pub(super) fn finish(self) -> Result<Option<f64>> {
        let Program::Ours(mut gateway) = self.program else {
            return Ok(None);
        };
        let status = gateway.terminate(END_DEADLINE)?;
        ensure!(status.success(), "s2cs ended with {status}");
        let mismatches = gateway.messages("ledger mismatch");
        if let Some(first) = mismatches.first() {
            bail!(
                "s2cs lost count of bytes {} times; first: {:?}",
                mismatches.len(),
                first
            );
        }
        let (mut redirected, mut moved) = (0, 0);
        for connection in gateway.closed()? {
            redirected += connection.to_upstream.redirected;
            moved += connection.to_upstream.bytes;
        }
        Ok((moved > 0).then(|| redirected as f64 / moved as f64))
    }
}

/// Removes the folders of runs that were killed and could not do so themselves.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_prefix(FOLDER_PREFIX));
        let id = id.and_then(|id| id.parse::<u32>().ok());
        if id.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            // Another run may be sweeping, too: only what is still there matters.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Starts a peer and waits until it listens.
fn launch(command: Command, listen: SocketAddr) -> Result<Process> {
    let mut process = Process::spawn(command)?;
    wait_until_listening(&mut process, listen.port())?;
    Ok(process)
}

fn wait_until_listening(process: &mut Process, port: u16) -> Result<()> {
    let start = Instant::now();
    // The child shows its own namespace's sockets as soon as it is inside.
    let table = format!("/proc/{}/net/tcp", process.id());
    while start.elapsed() < START_DEADLINE {
        if fs::read_to_string(&table).is_ok_and(|text| listens(&text, port)) {
            return Ok(());
        }
        if process.wait(POLL_INTERVAL).is_ok() {
            bail!(
                "`{}` ended at once: {}",
                process.line(),
                process.output().tail()
            );
        }
    }
    bail!(
        "`{}` does not listen: {}",
        process.line(),
        process.output().tail()
    )
}

/// Whether `table`, the text of `/proc/net/tcp`, has a listener on `port`.
fn listens(table: &str, port: u16) -> bool {
    /// `TCP_LISTEN` as the table writes it.
    const LISTENING: &str = "0A";
    let local = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (address, state) = (fields.nth(1), fields.nth(1));
        address.is_some_and(|address| address.ends_with(&local)) && state == Some(LISTENING)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_killed_runs_are_swept_and_others_are_not() {
        let parent = std::env::temp_dir().join(format!("sweep-{}", std::process::id()));
        let own = parent.join(format!("{FOLDER_PREFIX}{}", std::process::id()));
        // No process has this number: it is above the kernel's largest.
        let dead = parent.join(format!("{FOLDER_PREFIX}{}", 1 << 23));
        let other = parent.join("results");
        for folder in [&own, &dead, &other] {
            fs::create_dir_all(folder).unwrap();
        }
        sweep(&parent);
        let left = [&own, &dead, &other].map(|folder| folder.exists());
        fs::remove_dir_all(&parent).unwrap();
        assert_eq!(left, [true, false, true]);
    }

    #[test]
    fn only_a_listener_on_the_port_counts_as_listening() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
             0: 0101470A:1F90 00000000:0000 0A 00000000:00000000\n\
             1: 0101470A:1F91 0201470A:1F92 01 00000000:00000000\n";
        assert!(listens(table, 0x1F90));
        assert!(!listens(table, 0x1F91));
        assert!(!listens(table, 0x1F92));
        assert!(!listens("", 0x1F90));
    }
}
