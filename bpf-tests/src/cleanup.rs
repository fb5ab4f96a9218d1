//! What this process made outside itself and must remove, whatever ends it.
//!
//! ```text
//!   normal end, panic       Drop of the guard      ─┐   unmount and unlink /run/netns/NAME,
//!   SIGINT, SIGTERM, SIGHUP the thread started here ─┼─► remove the folder
//!   SIGKILL, power          the next run's sweep    ─┘
//! ```
//!
//! Children need no list: they die with the thread that spawned them (see [`crate::process`]),
//! and the links go with the namespaces.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context as _, Result};
use rustix::mount::UnmountFlags;
use rustix::process::Signal;

use crate::sys;

/// Where `ip netns` keeps the names.
pub const NAMESPACE_DIRECTORY: &str = "/run/netns";

/// Every name of ours begins so: `ss-PID-STARTED-SERIAL-ROLE`.
const PREFIX: &str = "ss-";

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Owned {
    namespaces: BTreeSet<String>,
    folders: BTreeSet<PathBuf>,
    hooks: Vec<Hook>,
}

static OWNED: Mutex<Option<Owned>> = Mutex::new(None);
static ARMED: OnceLock<Result<(), String>> = OnceLock::new();

/// The names this process holds, locked. While locked, nothing is made or removed.
pub(crate) struct Registry(MutexGuard<'static, Option<Owned>>);

impl Registry {
    /// Locks the names. The first call sweeps what dead processes left and diverts the signals.
    pub(crate) fn lock() -> Result<Self> {
        let armed = ARMED.get_or_init(|| arm().map_err(|error| format!("{error:#}")));
        if let Err(reason) = armed {
            anyhow::bail!("cannot arm the clean-up of namespaces and folders: {reason}");
        }
        Ok(Self::lock_unarmed())
    }

    fn lock_unarmed() -> Self {
        Self(OWNED.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a name before it is made.
    pub(crate) fn note(&mut self, name: &str) {
        self.owned().namespaces.insert(name.to_owned());
    }

    /// Notes a folder before it is made.
    pub(crate) fn note_folder(&mut self, folder: &Path) {
        self.owned().folders.insert(folder.to_owned());
    }

    fn owned(&mut self) -> &mut Owned {
        self.0.get_or_insert_default()
    }
}

/// Removes a namespace of ours; one that is gone already is no error.
pub(crate) fn remove_namespace(name: &str) -> io::Result<()> {
    let mut registry = Registry::lock_unarmed();
    registry.owned().namespaces.remove(name);
    unmount_and_unlink(name)
}

/// Removes a folder of ours with all that is in it; one that is gone already is no error.
pub(crate) fn remove_folder(folder: &Path) -> io::Result<()> {
    let mut registry = Registry::lock_unarmed();
    registry.owned().folders.remove(folder);
    remove_tree(folder)
}

/// Runs `hook` when a signal ends this process, after namespaces and folders are removed: to leave
/// a terminal as it was found, say. A normal end and a panic do not run it.
///
/// # Errors
/// When the signals cannot be diverted.
pub fn on_ending_signal(hook: impl FnOnce() + Send + 'static) -> Result<()> {
    Registry::lock()?.owned().hooks.push(Box::new(hook));
    Ok(())
}

/// The owner's part of a name: process id and start time, which no two processes of one boot
/// share even when the id comes around again.
pub(crate) fn own_identity() -> Result<String> {
    let id = std::process::id();
    let started = start_time(id).context("cannot read the start time of this process in /proc")?;
    Ok(format!("{PREFIX}{id}-{started}"))
}

fn arm() -> Result<()> {
    sweep_dead_owners();
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    sys::divert_ending_signals(writer).context("sigaction")?;
    std::thread::Builder::new()
        .name("lab-cleanup".to_owned())
        .spawn(move || remove_all_on_signal(reader))?;
    Ok(())
}

fn remove_all_on_signal(reader: OwnedFd) {
    let mut byte = [0_u8; 1];
    if fs::File::from(reader).read_exact(&mut byte).is_err() {
        return;
    }
    // Held to the end, so that no other thread makes a namespace after this.
    let mut registry = Registry::lock_unarmed();
    let Owned {
        namespaces,
        folders,
        hooks,
    } = std::mem::take(registry.owned());
    for name in namespaces {
        if let Err(error) = unmount_and_unlink(&name) {
            eprintln!("cannot remove the network namespace {name}: {error}");
        }
    }
    for folder in folders {
        // A child that still runs may have written once more.
        if let Err(error) = remove_tree(&folder).or_else(|_| remove_tree(&folder)) {
            eprintln!("cannot remove {}: {error}", folder.display());
        }
    }
    for hook in hooks {
        hook();
    }
    let signal = Signal::from_named_raw(i32::from(byte[0])).unwrap_or(Signal::TERM);
    if let Err(error) = sys::end_by_signal(signal) {
        eprintln!("cannot end by {signal:?}: {error}");
    }
    // The signal may take another thread first: the lock must outlive this one.
    std::thread::park();
}

/// Removes what processes left that ended without removing it.
fn sweep_dead_owners() {
    // Another process may be sweeping the same name: only what is still there matters.
    for name in names_of_the_dead(Path::new(NAMESPACE_DIRECTORY)) {
        drop(unmount_and_unlink(&name));
    }
    let temporary = std::env::temp_dir();
    for name in names_of_the_dead(&temporary) {
        let folder = temporary.join(name);
        if is_own_folder(&folder) {
            drop(remove_tree(&folder));
        }
    }
}

/// The names in `directory` whose owners have ended.
fn names_of_the_dead(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| owner_is_dead(name))
        .collect()
}

/// Anybody may put anything into the folder of temporary files.
fn is_own_folder(path: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == own)
}

fn owner_is_dead(name: &str) -> bool {
    let mut parts = name.strip_prefix(PREFIX).unwrap_or_default().split('-');
    let owner = (parts.next(), parts.next());
    let (Some(Ok(id)), Some(Ok(started))) = (
        owner.0.map(str::parse::<u32>),
        owner.1.map(str::parse::<u64>),
    ) else {
        return false;
    };
    start_time(id) != Some(started)
}

/// Clock ticks between boot and the start of process `id`; `None` when it is gone.
fn start_time(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold spaces: fields are counted from behind it. The first is
    // the third of proc(5), the start time is the 22nd.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

fn unmount_and_unlink(name: &str) -> io::Result<()> {
    let path = Path::new(NAMESPACE_DIRECTORY).join(name);
    match rustix::mount::unmount(&path, UnmountFlags::DETACH) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_running_process_is_not_swept() {
        let own = own_identity().unwrap();
        assert!(!owner_is_dead(&format!("{own}-0-producer")));
    }

    #[test]
    fn a_name_of_an_earlier_process_with_our_id_is_swept() {
        let id = std::process::id();
        assert!(owner_is_dead(&format!("{PREFIX}{id}-1-0-producer")));
    }

    #[test]
    fn a_name_that_is_not_ours_is_not_swept() {
        for name in ["producer", "ss-", "ss-web-1", "ss-12-x-0-a", "cni-1-1-0-a"] {
            assert!(!owner_is_dead(name), "{name}");
        }
    }
}
