//! What was fetched, by name, below `target/vm/cache/`: an entry is whole or not there.
//!
//! ```text
//!   NAME.partial ──filled──► rename ──► NAME        a run that is killed leaves only NAME.partial,
//!        └──failed──► removed                       which the next one that wants NAME removes
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

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
            .and_then(|file| file.lock().map(|()| file))
            .with_context(|| format!("{} cannot be locked", path.display()))?;
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
        names.filter(|name| !name.ends_with(".partial")).collect()
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
        let partial = Partial::new(self.folder.join(format!("{name}.partial")))?;
        fill(&partial.0)?;
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
