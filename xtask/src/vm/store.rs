//! What was fetched, by name, below `target/vm/cache/`: an entry is whole or not there.
//!
//! ```text
//!   NAME.partial ──filled──► rename ──► NAME
//!        ├──failed, SIGINT, SIGTERM──► removed
//!        └──SIGKILL──► removed by the next command that opens the folder
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bpf_tests::cleanup;

/// What the name of an entry ends with while it is being filled.
const PARTIAL: &str = ".partial";

/// Less than this many bytes free, and what could not be fetched had no room.
const LEAST_ROOM: u64 = 16 << 20;

/// The folder, locked: two commands at once must not fetch into the same place.
pub(super) struct Store {
    folder: PathBuf,
    _lock: File,
}

impl Store {
    /// Opens the folder, waiting for another command that has it.
    pub(super) fn open(folder: PathBuf) -> Result<Self> {
        make(&folder)?;
        let path = folder.join("lock");
        let lock = File::create(&path)
            .and_then(|file| locked(file, &folder))
            .with_context(|| format!("{} cannot be locked", path.display()))?;
        // With the lock ours, nobody is filling them.
        sweep(&folder)?;
        let on_signal = folder.clone();
        // The process ends by the signal: nobody could be told of what stays, and the next sweeps.
        cleanup::on_ending_signal(move || drop(sweep(&on_signal)))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// A folder for whoever keeps something of his own here.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The entry of this name, if it is there.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        let path = self.folder.join(name);
        path.is_dir().then_some(path)
    }

    /// The names of all entries.
    pub(super) fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| !name.ends_with(PARTIAL)).collect()
    }

    /// The entry of this name, made by `fill` if it is not there. Entries that `outdated` names
    /// then go, so that the folder does not grow with every new version.
    pub(super) fn obtain(
        &self,
        name: &str,
        outdated: impl Fn(&str) -> bool,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        if let Some(found) = self.find(name) {
            return Ok(found);
        }
        let partial = Partial::new(self.folder.join(format!("{name}{PARTIAL}")))?;
        fill(&partial.0).map_err(|error| self.with_room(error))?;
        let path = self.folder.join(name);
        fs::rename(&partial.0, &path)
            .with_context(|| format!("{} cannot be renamed", partial.0.display()))?;
        for old in self
            .names()
            .iter()
            .filter(|old| *old != name && outdated(old))
        {
            remove(&self.folder.join(old))?;
        }
        Ok(path)
    }

    /// The error, and before it that the disk is full, if it is: what failed there may say so in
    /// words of its own or not at all.
    fn with_room(&self, error: anyhow::Error) -> anyhow::Error {
        let Ok(facts) = rustix::fs::statvfs(&self.folder) else {
            return error;
        };
        if facts.f_bavail.saturating_mul(facts.f_frsize) >= LEAST_ROOM {
            return error;
        }
        let folder = self.folder.display();
        error.context(format!(
            "the disk that holds {folder} is full: make room there"
        ))
    }
}

/// The file, locked; says so when it has to wait.
fn locked(file: File, folder: &Path) -> io::Result<File> {
    if file.try_lock().is_err() {
        let folder = folder.display();
        eprintln!("vm: waiting for another command that uses {folder}");
        file.lock()?;
    }
    Ok(file)
}

/// Removes what a run that was killed was filling.
fn sweep(folder: &Path) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(PARTIAL) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// An entry that is being filled; removed unless it was renamed.
struct Partial(PathBuf);

impl Partial {
    fn new(path: PathBuf) -> Result<Self> {
        remove(&path)?;
        make(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            eprintln!("vm: {error:#}");
        }
    }
}

/// Makes a folder and those it lies in.
pub(super) fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

/// Removes a folder; one that is not there is no error.
pub(super) fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    /// A folder of this test's own, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let id = std::process::id();
            Self(std::env::temp_dir().join(format!("scistream-vm-store-{name}-{id}")))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            remove(&self.0).unwrap();
        }
    }

    fn fill(folder: &Path) -> Result<()> {
        Ok(fs::write(folder.join("whole"), "x")?)
    }

    #[test]
    fn an_entry_is_made_once_and_replaces_the_outdated() {
        let scratch = Scratch::new("once");
        let store = Store::open(scratch.0.clone()).unwrap();
        let outdated = |name: &str| name.starts_with("kernel-");
        store.obtain("other-1", |_| false, fill).unwrap();
        store.obtain("kernel-1", outdated, fill).unwrap();
        let path = store.obtain("kernel-2", outdated, fill).unwrap();
        assert!(path.join("whole").is_file());
        let again = store.obtain("kernel-2", outdated, |_| bail!("made twice"));
        assert_eq!(again.unwrap(), path);
        let mut names = store.names();
        names.sort();
        assert_eq!(names, ["kernel-2", "lock", "other-1"]);
    }

    #[test]
    fn what_a_killed_run_was_filling_goes_when_the_folder_is_opened() {
        let scratch = Scratch::new("killed");
        fs::create_dir_all(scratch.0.join("kernel-1.partial/debs")).unwrap();
        fill(&scratch.0.join("kernel-1.partial/debs")).unwrap();
        let store = Store::open(scratch.0.clone()).unwrap();
        assert!(!scratch.0.join("kernel-1.partial").exists());
        assert_eq!(store.names(), ["lock"]);
    }

    #[test]
    fn an_entry_that_failed_leaves_nothing() {
        let scratch = Scratch::new("failed");
        let store = Store::open(scratch.0.clone()).unwrap();
        let failing = |folder: &Path| {
            fill(folder)?;
            bail!("No space left on device")
        };
        assert!(store.obtain("kernel-1", |_| false, failing).is_err());
        assert_eq!(store.names(), ["lock"]);
        assert!(!scratch.0.join("kernel-1.partial").exists());
    }
}
