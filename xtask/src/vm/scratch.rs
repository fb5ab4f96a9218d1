//! The folder of one run, which goes with it: on drop, on Ctrl-C, and after a SIGKILL when the
//! next run begins.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bpf_tests::cleanup;

use super::store::{make, remove};

/// What the folders' names begin with.
const PREFIX: &str = "run-";

/// A folder that is ours as long as this value lives: its lock tells others.
pub(super) struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes a folder below `parent`, after removing those of runs that are gone.
    pub(super) fn new(parent: &Path) -> Result<Self> {
        make(parent)?;
        sweep(parent)?;
        let path = parent.join(format!("{PREFIX}{}", std::process::id()));
        make(&path)?;
        let lock = File::create(path.join("lock"))
            .and_then(|file| file.lock().map(|()| file))
            .with_context(|| format!("{} cannot be locked", path.display()))?;
        let on_signal = path.clone();
        // The process ends by the signal: nobody could be told of a folder that stays.
        cleanup::on_ending_signal(move || drop(fs::remove_dir_all(on_signal)))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            eprintln!("vm: {error:#}");
        }
    }
}

/// Removes the folders whose owner is gone: nobody holds their lock.
fn sweep(parent: &Path) -> Result<()> {
    let entries =
        fs::read_dir(parent).with_context(|| format!("cannot read {}", parent.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(PREFIX)
            && let Ok(lock) = File::open(path.join("lock"))
            && lock.try_lock().is_ok()
        {
            remove(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_owner_and_what_a_dead_one_left_with_the_next() {
        let parent = std::env::temp_dir().join(format!("scistream-scratch-{}", std::process::id()));
        let left = parent.join("run-dead");
        fs::create_dir_all(&left).unwrap();
        File::create(left.join("lock")).unwrap();
        let held = parent.join("run-alive");
        fs::create_dir_all(&held).unwrap();
        let lock = File::create(held.join("lock")).unwrap();
        lock.lock().unwrap();
        let scratch = Scratch::new(&parent).unwrap();
        let own = scratch.path().to_owned();
        assert!(own.is_dir() && held.is_dir() && !left.exists());
        drop(scratch);
        assert!(!own.exists());
        fs::remove_dir_all(&parent).unwrap();
    }
}
